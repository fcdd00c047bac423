// The Fields table: one row per member of a plain struct says its name, what it means and what values it
// takes. Parsing, printing, JSON Schema, help and docs/scenarios.md all come from it. A field's default is
// the value the member has in a default-constructed struct, so it is written once.
//
//   const Fields<Price>& FieldsOf(const Price*) {
//     static const Fields<Price> fields("price", {
//         Row("usd_per_gpu_hour", &Price::usd_per_gpu_hour, "rent of one GPU", {.low = 0, .high = 1000}),
//     });
//     return fields;
//   }
//
// Any type with a Codec can be a member: bool, int64_t, int, double, std::string, the quantities of
// base/units.h (as text with units), enumerations with EnumNames, vectors, optionals, and structs that have a
// FieldsOf.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/enum_names.h"
#include "base/json.h"
#include "base/quantity_text.h"
#include "base/units.h"

namespace moecast {

// Bounds of a number in its base unit (bytes, seconds, ...), and of the length of a list.
struct Limits {
  double low = 0;
  double high = 1e18;
  size_t max_items = 4096;
};

// What documentation says of a field.
struct FieldDoc {
  std::string pointer;  // "/training/parallel/tp"; list elements as "/0"
  std::string type;
  std::string default_value;  // "" where required
  std::string help;
};

template <class T>
struct Codec;

template <class S>
struct Field {
  std::string_view name;
  std::string_view help;
  bool required;
  bool optional_empty;  // print nothing where the value equals the default (optionals)
  std::function<void(S&, const JsonCursor&)> parse;
  std::function<Json(const S&)> print;
  std::function<Json()> schema;
  std::function<std::string()> type;
  std::function<void(const std::string&, std::vector<FieldDoc>&)> nested;
};

template <class S>
class Fields {
 public:
  Fields(std::string_view title, std::vector<Field<S>> rows) : title_(title), rows_(std::move(rows)) {}

  std::string_view title() const { return title_; }
  const std::vector<Field<S>>& rows() const { return rows_; }

  // Members absent from the object keep the value they have in `out`. Throws for unknown or missing fields.
  void ParseInto(const JsonCursor& at, S& out) const {
    PatchInto(at, out);
    for (const auto& row : rows_)
      if (row.required) at.Required(row.name);
  }
  // The same for an object that changes a value that is whole: no field is missing.
  void PatchInto(const JsonCursor& at, S& out) const {
    std::vector<std::string_view> names;
    for (const auto& row : rows_) names.push_back(row.name);
    at.AllowOnly(names);
    for (const auto& row : rows_)
      if (at.Has(row.name)) row.parse(out, at.Key(row.name));
  }
  S Parse(const JsonCursor& at) const {
    S out{};
    ParseInto(at, out);
    return out;
  }
  Json Print(const S& value) const {
    Json object = Json::object();
    for (const auto& row : rows_) {
      Json v = row.print(value);
      if (!(row.optional_empty && v.is_null())) object[std::string(row.name)] = std::move(v);
    }
    return object;
  }
  Json Schema() const {
    Json properties = Json::object(), required = Json::array();
    const S defaults{};
    for (const auto& row : rows_) {
      Json s = row.schema();
      s["description"] = row.help;
      if (row.required) {
        required.push_back(row.name);
      } else if (Json d = row.print(defaults); !d.is_null()) {
        s["default"] = std::move(d);
      }
      properties[std::string(row.name)] = std::move(s);
    }
    Json schema = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
    if (!required.empty()) schema["required"] = required;
    return schema;
  }
  // One FieldDoc per leaf below `pointer`.
  void Document(const std::string& pointer, std::vector<FieldDoc>& out) const {
    const S defaults{};
    for (const auto& row : rows_) {
      const std::string here = pointer + "/" + std::string(row.name);
      const size_t before = out.size();
      if (row.nested) row.nested(here, out);
      if (out.size() != before) continue;
      const Json d = row.required ? Json() : row.print(defaults);
      out.push_back({here, row.type(), d.is_null() ? "" : DumpJson(d, -1), std::string(row.help)});
    }
  }

 private:
  std::string_view title_;
  std::vector<Field<S>> rows_;
};

namespace fields_internal {

template <class T>
concept HasFields = requires(const T* t) {
  FieldsOf(t);
};
template <class T>
concept IsEnum = std::is_enum_v<T>;

template <class T>
void DocumentNested(const std::string& pointer, std::vector<FieldDoc>& out) {
  if constexpr (HasFields<T>) FieldsOf(static_cast<const T*>(nullptr)).Document(pointer, out);
}

// A quantity as text with a unit.
template <class Q, auto kParse, auto kPrint>
struct QuantityCodec {
  static Q Parse(const JsonCursor& at, const Limits& limits, const char* example) {
    const std::string expected = std::string("a text with a unit such as ") + example;
    if (!at.json().is_string()) at.Fail(expected);
    const auto q = kParse(at.Text());
    if (!q) at.Fail(expected);
    if (!(q->value >= limits.low && q->value <= limits.high))
      at.Fail("from " + kPrint(Q(limits.low)) + " to " + kPrint(Q(limits.high)));
    return *q;
  }
  static Json Print(const Q& q) { return kPrint(q); }
};

}  // namespace fields_internal

template <>
struct Codec<bool> {
  static bool Parse(const JsonCursor& at, const Limits&) { return at.Bool(); }
  static Json Print(bool v) { return v; }
  static Json Schema(const Limits&) { return {{"type", "boolean"}}; }
  static std::string Type(const Limits&) { return "true or false"; }
};

template <class I>
requires(std::is_integral_v<I> && !std::is_same_v<I, bool>) struct Codec<I> {
  static I Parse(const JsonCursor& at, const Limits& l) {
    return static_cast<I>(at.Int(static_cast<int64_t>(l.low), High(l)));
  }
  static Json Print(I v) { return static_cast<int64_t>(v); }
  static Json Schema(const Limits& l) {
    return {{"type", "integer"}, {"minimum", static_cast<int64_t>(l.low)}, {"maximum", High(l)}};
  }
  static std::string Type(const Limits& l) {
    return "whole number from " + std::to_string(static_cast<int64_t>(l.low)) + " to " +
           std::to_string(High(l));
  }
  static int64_t High(const Limits& l) {
    constexpr I kHalf = std::numeric_limits<I>::max() / 2;
    return static_cast<int64_t>(std::min(l.high, static_cast<double>(kHalf)));
  }
};

template <>
struct Codec<double> {
  static double Parse(const JsonCursor& at, const Limits& l) { return at.Number(l.low, l.high); }
  static Json Print(double v) { return v; }
  static Json Schema(const Limits& l) {
    return {{"type", "number"}, {"minimum", l.low}, {"maximum", l.high}};
  }
  static std::string Type(const Limits& l) {
    return "number from " + ShowNumber(l.low, 6) + " to " + ShowNumber(l.high, 6);
  }
};

template <>
struct Codec<std::string> {
  static std::string Parse(const JsonCursor& at, const Limits&) { return at.Text(); }
  static Json Print(const std::string& v) { return v; }
  static Json Schema(const Limits&) { return {{"type", "string"}}; }
  static std::string Type(const Limits&) { return "text"; }
};

#define MOECAST_QUANTITY_CODEC(Q, PARSE, PRINT, EXAMPLE)                                                     \
  template <>                                                                                                \
  struct Codec<Q> {                                                                                          \
    using Text = fields_internal::QuantityCodec<Q, PARSE, PRINT>;                                            \
    static Q Parse(const JsonCursor& at, const Limits& l) { return Text::Parse(at, l, EXAMPLE); }            \
    static Json Print(const Q& v) { return Text::Print(v); }                                                 \
    static Json Schema(const Limits&) { return {{"type", "string"}, {"examples", Json::array({EXAMPLE})}}; } \
    static std::string Type(const Limits&) {                                                                 \
      return std::string("text with unit, e.g. \"") + EXAMPLE + "\"";                                        \
    }                                                                                                        \
  };
MOECAST_QUANTITY_CODEC(Bytes, ParseBytes, PrintBytes, "16MiB")
MOECAST_QUANTITY_CODEC(Seconds, ParseSeconds, PrintSeconds, "18.5ms")
MOECAST_QUANTITY_CODEC(BytesPerSecond, ParseRate, PrintRate, "50GB/s")
MOECAST_QUANTITY_CODEC(FlopsPerSecond, ParseFlopRate, PrintFlopRate, "989TFLOP/s")
MOECAST_QUANTITY_CODEC(Count, ParseCount, PrintCount, "8.1T")
#undef MOECAST_QUANTITY_CODEC

template <fields_internal::IsEnum E>
struct Codec<E> {
  static E Parse(const JsonCursor& at, const Limits&) {
    const auto names = Names();
    const std::string expected = "one of " + Join(names);
    if (!at.json().is_string()) at.Fail(expected);
    const auto v = ByName<E>(at.Text());
    if (!v) at.Fail(expected, Nearest(at.Text(), names));
    return *v;
  }
  static Json Print(E v) { return std::string(NameOf(v)); }
  static Json Schema(const Limits&) { return {{"enum", Names()}}; }
  static std::string Type(const Limits&) { return "one of " + Join(Names()); }
  static std::vector<std::string_view> Names() {
    std::vector<std::string_view> names;
    for (const auto& row : EnumNames<E>::kNames) names.push_back(row.name);
    return names;
  }
};

template <fields_internal::HasFields S>
struct Codec<S> {
  static S Parse(const JsonCursor& at, const Limits&) { return Table().Parse(at); }
  static Json Print(const S& v) { return Table().Print(v); }
  static Json Schema(const Limits&) { return Table().Schema(); }
  static std::string Type(const Limits&) { return "object"; }
  static const Fields<S>& Table() { return FieldsOf(static_cast<const S*>(nullptr)); }
};

template <class T>
struct Codec<std::optional<T>> {
  // null is absent, so that --set can take a value away.
  static std::optional<T> Parse(const JsonCursor& at, const Limits& l) {
    return at.json().is_null() ? std::nullopt : std::optional<T>(Codec<T>::Parse(at, l));
  }
  static Json Print(const std::optional<T>& v) { return v ? Codec<T>::Print(*v) : Json(); }
  static Json Schema(const Limits& l) { return Codec<T>::Schema(l); }
  static std::string Type(const Limits& l) { return Codec<T>::Type(l); }
};

template <class T>
struct Codec<std::vector<T>> {
  static std::vector<T> Parse(const JsonCursor& at, const Limits& l) {
    const size_t n = at.size();
    if (n > l.max_items) at.Fail("at most " + std::to_string(l.max_items) + " items");
    std::vector<T> out;
    for (size_t i = 0; i < n; ++i) out.push_back(Codec<T>::Parse(at.At(i), l));
    return out;
  }
  static Json Print(const std::vector<T>& v) {
    Json list = Json::array();
    for (const auto& item : v) list.push_back(Codec<T>::Print(item));
    return list;
  }
  static Json Schema(const Limits& l) {
    return {{"type", "array"}, {"items", Codec<T>::Schema(l)}, {"maxItems", l.max_items}};
  }
  static std::string Type(const Limits& l) { return "list of: " + Codec<T>::Type(l); }
};

namespace fields_internal {
template <class T>
struct Element {
  using type = T;
  static constexpr bool kList = false, kOptional = false;
};
template <class T>
struct Element<std::vector<T>> {
  using type = T;
  static constexpr bool kList = true, kOptional = false;
};
template <class T>
struct Element<std::optional<T>> {
  using type = T;
  static constexpr bool kList = false, kOptional = true;
};
}  // namespace fields_internal

template <class S, class T>
Field<S> Row(std::string_view name, T S::*member, std::string_view help, Limits limits = {}) {
  using Element = fields_internal::Element<T>;
  Field<S> row{name, help, false, Element::kOptional, {}, {}, {}, {}, {}};
  // A nested struct keeps the outer struct's defaults for what the object leaves out.
  if constexpr (fields_internal::HasFields<T>)
    row.parse = [member](S& s, const JsonCursor& at) { Codec<T>::Table().ParseInto(at, s.*member); };
  else
    row.parse = [member, limits](S& s, const JsonCursor& at) { s.*member = Codec<T>::Parse(at, limits); };
  row.print = [member](const S& s) { return Codec<T>::Print(s.*member); };
  row.schema = [limits] { return Codec<T>::Schema(limits); };
  row.type = [limits] { return Codec<T>::Type(limits); };
  row.nested = [](const std::string& pointer, std::vector<FieldDoc>& out) {
    fields_internal::DocumentNested<typename Element::type>(pointer + (Element::kList ? "/0" : ""), out);
  };
  return row;
}

template <class S, class T>
Field<S> RequiredRow(std::string_view name, T S::*member, std::string_view help, Limits limits = {}) {
  Field<S> row = Row(name, member, help, limits);
  row.required = true;
  return row;
}

}  // namespace moecast
