// The Fields table: one row per member of a plain struct says its name, what it means and what
// values it takes. Parsing, printing, JSON Schema, help and docs/scenarios.md all come from it. A
// field's default is the value the member has in a default-constructed struct, so it is written
// once.
//
//   const Fields<Price>& FieldsOf(const Price*) {
//     static const Fields<Price> fields("price", {
//         Row("usd_per_gpu_hour", &Price::usd_per_gpu_hour, "rent of one GPU",
//             {.low = 0, .high = 1000}),
//     });
//     return fields;
//   }
//
// Members may be bool, int, int64_t, double, std::string, the quantities of base/units.h (as text
// with units), enumerations with EnumNames, structs that have a FieldsOf, types with a Codec
// (base/value_type.h), and vectors and optionals of them.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/value_type.h"

namespace moecast {

// A row, whatever the struct.
struct FieldRow {
  std::string_view name;
  std::string_view help;
  bool required;
  Limits limits;
  const ValueType* type;
  size_t offset;  // of the member within the struct, bytes
};
template <class S>
struct Field : FieldRow {};

// A table, whatever the struct; pointers are to the struct.
class FieldTable {
 public:
  std::string_view title() const { return title_; }
  const std::vector<FieldRow>& rows() const { return rows_; }
  Json Schema() const;
  // Adds one FieldDoc per leaf below `pointer`.
  void Document(const std::string& pointer, std::vector<FieldDoc>& out) const;

 protected:
  friend class StructType;

  // `defaults` is a struct as it is constructed.
  FieldTable(std::string_view title, const void* defaults) : title_(title), defaults_(defaults) {}
  void Add(const FieldRow& row) { rows_.push_back(row); }
  void Parse(const JsonCursor& at, void* out) const;
  void Patch(const JsonCursor& at, void* out) const;
  Json Print(const void* value) const;

 private:
  std::string_view title_;
  const void* defaults_;
  std::vector<FieldRow> rows_;
};

template <class S>
const S& DefaultOf() {
  static const S value{};
  return value;
}

template <class S>
class Fields : public FieldTable {
 public:
  Fields(std::string_view title, std::initializer_list<Field<S>> rows)
      : FieldTable(title, &DefaultOf<S>()) {
    for (const FieldRow& row : rows) Add(row);
  }

  // Members absent from the object keep the value they have in `out`. Throws for unknown or missing
  // fields.
  void ParseInto(const JsonCursor& at, S& out) const { FieldTable::Parse(at, &out); }
  // The same for an object that changes a value that is whole: no field is missing.
  void PatchInto(const JsonCursor& at, S& out) const { FieldTable::Patch(at, &out); }
  S Parse(const JsonCursor& at) const {
    S out{};
    ParseInto(at, out);
    return out;
  }
  Json Print(const S& value) const { return FieldTable::Print(&value); }
};

template <class T>
concept HasFields = requires(const T* t) {
  FieldsOf(t);
};

// A struct within a struct keeps the outer struct's defaults for what the object leaves out.
class StructType : public ValueType {
 public:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const final;
  Json Print(const void* value) const final;
  Json Schema(const Limits& limits) const final;
  std::string Name(const Limits& limits) const final;
  void Document(const std::string& pointer, std::vector<FieldDoc>& out) const final;

 protected:
  ~StructType() = default;
  virtual const FieldTable& table() const = 0;
};
template <HasFields S>
class TypeFor<S> final : public StructType {
  const FieldTable& table() const override { return FieldsOf(static_cast<const S*>(nullptr)); }
};

template <class T>
struct Codec {
  using OfValueType = void;  // not specialised for T
  static T Parse(const JsonCursor& at, const Limits& limits) {
    T value{};
    TypeOf<T>().Parse(at, limits, &value);
    return value;
  }
  static Json Print(const T& v) { return TypeOf<T>().Print(&v); }
  static Json Schema(const Limits& limits) { return TypeOf<T>().Schema(limits); }
  static std::string Type(const Limits& limits) { return TypeOf<T>().Name(limits); }
  static const Fields<T>& Table() requires HasFields<T> {
    return FieldsOf(static_cast<const T*>(nullptr));
  }
  static std::vector<std::string_view> Names() requires std::is_enum_v<T> { return NamesOf<T>(); }
};

template <class S, class T>
Field<S> Row(std::string_view name, T S::*member, std::string_view help, Limits limits = {}) {
  const S& s = DefaultOf<S>();
  const auto offset =
      reinterpret_cast<const char*>(&(s.*member)) - reinterpret_cast<const char*>(&s);
  return {{name, help, false, limits, &TypeOf<T>(), static_cast<size_t>(offset)}};
}

template <class S, class T>
Field<S> RequiredRow(std::string_view name, T S::*member, std::string_view help,
                     Limits limits = {}) {
  Field<S> row = Row(name, member, help, limits);
  row.required = true;
  return row;
}

}  // namespace moecast
