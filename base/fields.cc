#include "base/fields.h"

namespace moecast {
namespace {

const void* MemberOf(const FieldRow& row, const void* value) {
  return static_cast<const char*>(value) + row.offset;
}

}  // namespace

void FieldTable::Parse(const JsonCursor& at, void* out) const {
  Patch(at, out);
  for (const FieldRow& row : rows_)
    if (row.required) at.Required(row.name);
}

void FieldTable::Patch(const JsonCursor& at, void* out) const {
  std::vector<std::string_view> names;
  for (const FieldRow& row : rows_) names.push_back(row.name);
  at.AllowOnly(names);
  for (const FieldRow& row : rows_)
    if (at.Has(row.name))
      row.type->Parse(at.Key(row.name), row.limits, static_cast<char*>(out) + row.offset);
}

Json FieldTable::Print(const void* value) const {
  Json object = Json::object();
  for (const FieldRow& row : rows_) {
    Json v = row.type->Print(MemberOf(row, value));
    if (!(row.type->optional() && v.is_null())) object.Append(row.name, std::move(v));
  }
  return object;
}

Json FieldTable::Schema() const {
  Json properties = Json::object(), required = Json::array();
  for (const FieldRow& row : rows_) {
    Json s = row.type->Schema(row.limits);
    s["description"] = row.help;
    if (row.required) {
      required.push_back(row.name);
    } else if (Json d = row.type->Print(MemberOf(row, defaults_)); !d.is_null()) {
      s["default"] = std::move(d);
    }
    properties.Append(row.name, std::move(s));
  }
  Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

void FieldTable::Document(const std::string& pointer, std::vector<FieldDoc>& out) const {
  for (const FieldRow& row : rows_) {
    const std::string here = pointer + "/" + std::string(row.name);
    const size_t before = out.size();
    row.type->Document(here, out);
    if (out.size() != before) continue;
    const Json d = row.required ? Json() : row.type->Print(MemberOf(row, defaults_));
    out.push_back({here, row.type->Name(row.limits), d.is_null() ? "" : DumpJson(d, -1),
                   std::string(row.help)});
  }
}

void StructType::Parse(const JsonCursor& at, const Limits&, void* to) const {
  table().Parse(at, to);
}
Json StructType::Print(const void* value) const {
  return table().Print(value);
}
Json StructType::Schema(const Limits&) const {
  return table().Schema();
}
std::string StructType::Name(const Limits&) const {
  return "object";
}
void StructType::Document(const std::string& pointer, std::vector<FieldDoc>& out) const {
  table().Document(pointer, out);
}

}  // namespace moecast
