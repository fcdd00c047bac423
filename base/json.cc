#include "base/json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "base/quantity_text.h"

namespace moecast {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxBytes = size_t{16} << 20;

std::string LineAndColumn(std::string_view text, size_t byte) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i + 1 < byte && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

// Builds the tree, refusing what nlohmann's own parser lets pass: keys twice and deep nesting.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::string file) : file_(std::move(file)) {}
  Json& root() { return root_; }

  bool null() override { return Put(nullptr); }
  bool boolean(bool v) override { return Put(v); }
  bool number_integer(number_integer_t v) override { return Put(v); }
  bool number_unsigned(number_unsigned_t v) override { return Put(v); }
  bool number_float(number_float_t v, const string_t&) override { return Put(v); }
  bool string(string_t& v) override { return Put(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override { return stack_.pop_back(), keys_.pop_back(), true; }
  bool end_array() override { return stack_.pop_back(), keys_.pop_back(), true; }
  bool key(string_t& v) override {
    if (!keys_.back().insert(v).second)
      throw UserError({.file = file_,
                       .value = "the key \"" + Shortened(v) + "\" twice in one object",
                       .expected = "each key once"});
    key_ = v;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& e) override {
    error_at = position;
    error = e.what();
    return false;
  }

  size_t error_at = 0;
  std::string error;

 private:
  bool Put(Json v) { return Place(std::move(v)), true; }
  Json* Place(Json v) {
    if (stack_.empty()) return &(root_ = std::move(v));
    Json& parent = *stack_.back();
    if (parent.is_array()) return parent.push_back(std::move(v)), parent.end() - 1;
    return &parent.Append(key_, std::move(v));
  }
  bool Open(Json v) {
    if (stack_.size() >= kMaxDepth)
      throw UserError({.file = file_,
                       .value = "values nested deeper than " + std::to_string(kMaxDepth),
                       .expected = "a flatter file"});
    stack_.push_back(Place(std::move(v)));
    keys_.emplace_back();
    return true;
  }

  std::string file_;
  Json root_;
  std::vector<Json*> stack_;
  std::vector<std::set<std::string>> keys_;
  std::string key_;
};

std::string Escaped(std::string_view key) {
  std::string out;
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

std::string Unescaped(std::string_view key) {
  std::string out;
  for (size_t i = 0; i < key.size(); ++i) {
    if (key[i] == '~' && i + 1 < key.size() && (key[i + 1] == '0' || key[i + 1] == '1'))
      out += key[++i] == '0' ? '~' : '/';
    else
      out += key[i];
  }
  return out;
}

// A scalar with all its digits; what is no UTF-8 in a text is replaced.
std::string Scalar(const Json& j, bool ascii = false) {
  const auto text = [&](const nlohmann::json& v) {
    return v.dump(-1, ' ', ascii, nlohmann::json::error_handler_t::replace);
  };
  if (j.is_string()) return text(j.Text());
  if (j.is_boolean()) return text(j.get<bool>());
  if (j.is_number_float()) return text(j.get<double>());
  if (j.is_number_unsigned()) return text(j.get<uint64_t>());
  return j.is_number() ? text(j.get<int64_t>()) : "null";
}

std::string TypeName(const Json& j) {
  if (j.is_object()) return j.empty() ? "an empty object" : "an object";
  if (j.is_array()) return j.empty() ? "an empty list" : "a list of " + std::to_string(j.size());
  return Shortened(Scalar(j, true));
}

// A number with nine significant digits, other scalars as they are.
std::string Rounded(const Json& j) {
  if (!j.is_number_float()) return Scalar(j);
  const double x = j.get<double>();
  if (!std::isfinite(x)) return "null";
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, x == std::floor(x) && std::fabs(x) < 1e15 ? "%.0f" : "%.9g",
                x);
  return buffer;
}

void Dump(const Json& j, int indent, int depth, std::string (*scalar)(const Json&),
          std::string& out) {
  if (!j.is_structured()) {
    out += scalar(j);
    return;
  }
  const auto line = [&](int d) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(indent * d), ' ');
  };
  // Lists of scalars stay on one line: a stage split reads better across than down.
  const bool flat = j.is_array() && std::none_of(j.begin(), j.end(), [](const Json& item) {
                      return item.is_structured();
                    });
  out += j.is_object() ? '{' : '[';
  for (size_t i = 0; i < j.size(); ++i) {
    if (i > 0) out += flat && indent >= 0 ? ", " : ",";
    if (!flat) line(depth + 1);
    if (j.is_object()) out += Scalar(j.keys()[i]) + (indent < 0 ? ":" : ": ");
    Dump(j[i], indent, depth + 1, scalar, out);
  }
  if (!j.empty() && !flat) line(depth);
  out += j.is_object() ? '}' : ']';
}

}  // namespace

std::shared_ptr<JsonDocument> ParseJson(std::string_view text, const std::string& file) {
  if (text.size() > kMaxBytes)
    throw UserError({.file = file,
                     .value = std::to_string(text.size()) + " bytes",
                     .expected = "at most " + std::to_string(kMaxBytes)});
  Builder builder(file);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    std::string why = builder.error;
    const size_t cut = why.rfind("; ");
    if (why.find("out of range") != std::string::npos ||
        why.find("out_of_range") != std::string::npos)
      why = "a number beyond the range of double precision";
    else if (cut != std::string::npos)
      why = Shortened(why.substr(cut + 2), 120);
    throw UserError({.file = file,
                     .pointer = LineAndColumn(text, builder.error_at),
                     .value = "no valid JSON: " + why});
  }
  auto document = std::make_shared<JsonDocument>();
  document->root = std::move(builder.root());
  document->file = file;
  return document;
}

void PatchJson(JsonDocument& document, std::string_view pointer, Json value,
               JsonDocument::Patch patch) {
  if (!pointer.empty() && pointer.front() == '/') pointer.remove_prefix(1);
  Json* node = &document.root;
  std::string walked;
  while (true) {
    const size_t slash = pointer.find('/');
    const std::string key = Unescaped(pointer.substr(0, slash));
    if (key.empty())
      throw UserError(
          {.file = patch.origin, .value = "an empty name in the path", .expected = "a/b/c=value"});
    const std::string parent = walked;
    walked += '/' + Escaped(key);
    if (node->is_array()) {
      const auto index = ParseNumber(key);
      if (!index || *index != std::floor(*index) || *index < 0 ||
          *index >= static_cast<double>(node->size()))
        throw UserError({.file = patch.origin,
                         .pointer = walked,
                         .value = "\"" + Shortened(key) + "\"",
                         .expected = "an index below " + std::to_string(node->size())});
      node = &(*node)[static_cast<size_t>(*index)];
    } else if (node->is_object() || node->is_null()) {
      node = &(*node)[key];
    } else {
      throw UserError({.file = patch.origin,
                       .pointer = parent.empty() ? "/" : parent,
                       .value = TypeName(*node) + " on the way",
                       .expected = "an object or a list"});
    }
    if (slash == std::string_view::npos) break;
    pointer.remove_prefix(slash + 1);
  }
  *node = std::move(value);
  document.patches[walked] = std::move(patch);
}

std::string DumpJson(const Json& json, int indent) {
  std::string out;
  Dump(json, indent, 0, Rounded, out);
  return out;
}

std::string Json::dump() const {
  std::string out;
  Dump(
      *this, -1, 0, [](const Json& scalar) { return Scalar(scalar); }, out);
  return out;
}

std::string MemberPointer(const std::string& pointer, std::string_view key) {
  return pointer + '/' + Escaped(key);
}

JsonCursor::JsonCursor(std::shared_ptr<const JsonDocument> document)
    : document_(std::move(document)), node_(&document_->root) {}

bool JsonCursor::Has(std::string_view key) const {
  return node_->contains(key);
}

JsonCursor JsonCursor::Key(std::string_view key) const {
  return {document_, &(*node_)[key], MemberPointer(pointer_, key)};
}

JsonCursor JsonCursor::Required(std::string_view key) const {
  if (!node_->is_object()) Fail("an object");
  if (!Has(key)) Fail("a value for \"" + std::string(key) + "\" in it");
  return Key(key);
}

std::vector<std::string> JsonCursor::Keys() const {
  if (!node_->is_object()) Fail("an object");
  return node_->keys();
}

void JsonCursor::AllowOnly(std::span<const std::string_view> valid) const {
  for (const std::string& key : Keys()) {
    bool known = false;
    for (const std::string_view v : valid) known = known || v == key;
    if (known) continue;
    const std::string nearest = Nearest(key, valid);
    const JsonCursor at = Key(key);
    const auto patch = document_->patches.find(at.pointer_);
    throw UserError(
        {.file = patch == document_->patches.end() ? document_->file : patch->second.origin,
         .pointer = at.pointer_,
         .value = "an unknown field",
         .expected = valid.empty() ? "none here" : "one of " + Join(valid),
         .hint = nearest});
  }
}

size_t JsonCursor::size() const {
  if (!node_->is_array()) Fail("a list");
  return node_->size();
}

JsonCursor JsonCursor::At(size_t index) const {
  return {document_, &(*node_)[index], pointer_ + '/' + std::to_string(index)};
}

bool JsonCursor::Bool() const {
  if (!node_->is_boolean()) Fail("true or false");
  return node_->get<bool>();
}

int64_t JsonCursor::Int(int64_t low, int64_t high) const {
  const std::string expected =
      "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  if (!node_->is_number()) Fail(expected);
  if (node_->is_number_float()) {
    const double x = node_->get<double>();
    if (x != std::floor(x) || !(x >= static_cast<double>(low) && x <= static_cast<double>(high)))
      Fail(expected);
    return static_cast<int64_t>(x);
  }
  if (node_->is_number_unsigned()) {
    const uint64_t x = node_->get<uint64_t>();
    if (high < 0 || x > static_cast<uint64_t>(high) || (low > 0 && x < static_cast<uint64_t>(low)))
      Fail(expected);
    return static_cast<int64_t>(x);
  }
  const int64_t x = node_->get<int64_t>();
  if (x < low || x > high) Fail(expected);
  return x;
}

double JsonCursor::Number(double low, double high) const {
  const std::string expected = "a number from " + ShowNumber(low, 6) + " to " + ShowNumber(high, 6);
  if (!node_->is_number()) Fail(expected);
  const double x = node_->get<double>();
  if (!(x >= low && x <= high)) Fail(expected);
  return x;
}

const std::string& JsonCursor::Text() const {
  if (node_->is_string()) return node_->Text();
  const auto patch = document_->patches.find(pointer_);
  if (patch == document_->patches.end() || node_->is_structured()) Fail("a text");
  return patch->second.text;
}

void JsonCursor::Fail(const std::string& expected, const std::string& hint) const {
  std::string file = document_->file;
  for (std::string p = pointer_; !p.empty(); p.resize(p.rfind('/'))) {
    const auto patch = document_->patches.find(p);
    if (patch == document_->patches.end()) continue;
    file = patch->second.origin;
    break;
  }
  throw UserError({.file = file,
                   .pointer = pointer_.empty() ? "/" : pointer_,
                   .value = TypeName(*node_),
                   .expected = expected,
                   .hint = hint});
}

void JsonCursor::FailBelow(const std::string& pointer, const std::string& expected,
                           const std::string& hint) const {
  JsonCursor at = *this;
  std::string rest = pointer.empty() ? "" : pointer.substr(1);
  while (!rest.empty()) {
    const size_t slash = rest.find('/');
    const std::string key = rest.substr(0, slash);
    if (at.json().is_array())
      at = at.At(static_cast<size_t>(std::stoul(key)));
    else if (at.Has(key))
      at = at.Key(key);
    else
      at.Fail("for " + pointer.substr(1) + " " + expected, hint);
    rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
  }
  at.Fail(expected, hint);
}

}  // namespace moecast
