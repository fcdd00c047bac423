#include "base/value_type.h"

#include <algorithm>
#include <limits>

#include "base/quantity_text.h"

namespace moecast {
namespace {

class BoolType final : public ValueType {
  void Parse(const JsonCursor& at, const Limits&, void* to) const override {
    *static_cast<bool*>(to) = at.Bool();
  }
  Json Print(const void* value) const override { return *static_cast<const bool*>(value); }
  Json Schema(const Limits&) const override { return {{"type", "boolean"}}; }
  std::string Name(const Limits&) const override { return "true or false"; }
};

template <class I>
class WholeType final : public ValueType {
  void Parse(const JsonCursor& at, const Limits& l, void* to) const override {
    *static_cast<I*>(to) = static_cast<I>(at.Int(static_cast<int64_t>(l.low), High(l)));
  }
  Json Print(const void* value) const override { return *static_cast<const I*>(value); }
  Json Schema(const Limits& l) const override {
    return {{"type", "integer"}, {"minimum", static_cast<int64_t>(l.low)}, {"maximum", High(l)}};
  }
  std::string Name(const Limits& l) const override {
    return "whole number from " + std::to_string(static_cast<int64_t>(l.low)) + " to " +
           std::to_string(High(l));
  }
  static int64_t High(const Limits& l) {
    constexpr I kHalf = std::numeric_limits<I>::max() / 2;
    return static_cast<int64_t>(std::min(l.high, static_cast<double>(kHalf)));
  }
};

class RealType final : public ValueType {
  void Parse(const JsonCursor& at, const Limits& l, void* to) const override {
    *static_cast<double*>(to) = at.Number(l.low, l.high);
  }
  Json Print(const void* value) const override { return *static_cast<const double*>(value); }
  Json Schema(const Limits& l) const override {
    return {{"type", "number"}, {"minimum", l.low}, {"maximum", l.high}};
  }
  std::string Name(const Limits& l) const override {
    return "number from " + ShowNumber(l.low, 6) + " to " + ShowNumber(l.high, 6);
  }
};

class TextType final : public ValueType {
  void Parse(const JsonCursor& at, const Limits&, void* to) const override {
    *static_cast<std::string*>(to) = at.Text();
  }
  Json Print(const void* value) const override { return *static_cast<const std::string*>(value); }
  Json Schema(const Limits&) const override { return {{"type", "string"}}; }
  std::string Name(const Limits&) const override { return "text"; }
};

template <class Q>
class QuantityType final : public ValueType {
 public:
  constexpr QuantityType(std::optional<Q> (*parse)(std::string_view), std::string (*print)(Q),
                         const char* example)
      : parse_(parse), print_(print), example_(example) {}

 private:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const override {
    const std::string expected = std::string("a text with a unit such as ") + example_;
    if (!at.json().is_string()) at.Fail(expected);
    const auto q = parse_(at.Text());
    if (!q) at.Fail(expected);
    if (!(q->value >= limits.low && q->value <= limits.high))
      at.Fail("from " + print_(Q(limits.low)) + " to " + print_(Q(limits.high)));
    *static_cast<Q*>(to) = *q;
  }
  Json Print(const void* value) const override { return print_(*static_cast<const Q*>(value)); }
  Json Schema(const Limits&) const override {
    return {{"type", "string"}, {"examples", Json::array({example_})}};
  }
  std::string Name(const Limits&) const override {
    return std::string("text with unit, e.g. \"") + example_ + "\"";
  }

  std::optional<Q> (*parse_)(std::string_view);
  std::string (*print_)(Q);
  const char* example_;
};

constexpr BoolType kBool{};
constexpr WholeType<int> kInt{};
constexpr WholeType<int64_t> kInt64{};
constexpr RealType kReal{};
constexpr TextType kText{};
constexpr QuantityType<Bytes> kBytes(ParseBytes, PrintBytes, "16MiB");
constexpr QuantityType<Seconds> kSeconds(ParseSeconds, PrintSeconds, "18.5ms");
constexpr QuantityType<BytesPerSecond> kRate(ParseRate, PrintRate, "50GB/s");
constexpr QuantityType<FlopsPerSecond> kFlopRate(ParseFlopRate, PrintFlopRate, "989TFLOP/s");
constexpr QuantityType<Count> kCount(ParseCount, PrintCount, "8.1T");

}  // namespace

template <>
const ValueType& TypeOf<bool>() {
  return kBool;
}
template <>
const ValueType& TypeOf<int>() {
  return kInt;
}
template <>
const ValueType& TypeOf<int64_t>() {
  return kInt64;
}
template <>
const ValueType& TypeOf<double>() {
  return kReal;
}
template <>
const ValueType& TypeOf<std::string>() {
  return kText;
}
template <>
const ValueType& TypeOf<Bytes>() {
  return kBytes;
}
template <>
const ValueType& TypeOf<Seconds>() {
  return kSeconds;
}
template <>
const ValueType& TypeOf<BytesPerSecond>() {
  return kRate;
}
template <>
const ValueType& TypeOf<FlopsPerSecond>() {
  return kFlopRate;
}
template <>
const ValueType& TypeOf<Count>() {
  return kCount;
}

void ValueType::Document(const std::string&, std::vector<FieldDoc>&) const {}

void EnumType::Parse(const JsonCursor& at, const Limits&, void* to) const {
  const auto names = Names();
  const std::string expected = "one of " + Join(names);
  if (!at.json().is_string()) at.Fail(expected);
  if (!SetByName(at.Text(), to)) at.Fail(expected, Nearest(at.Text(), names));
}
Json EnumType::Print(const void* value) const {
  return NameOfValue(value);
}
Json EnumType::Schema(const Limits&) const {
  return {{"enum", Names()}};
}
std::string EnumType::Name(const Limits&) const {
  return "one of " + Join(Names());
}

void ListType::Parse(const JsonCursor& at, const Limits& limits, void* to) const {
  const size_t n = at.size();
  if (n > limits.max_items) at.Fail("at most " + std::to_string(limits.max_items) + " items");
  Clear(to);
  for (size_t i = 0; i < n; ++i) item_type().Parse(at.At(i), limits, Append(to));
}
Json ListType::Print(const void* value) const {
  Json list = Json::array();
  for (size_t i = 0; i < Size(value); ++i) list.push_back(item_type().Print(Item(value, i)));
  return list;
}
Json ListType::Schema(const Limits& limits) const {
  return {{"type", "array"}, {"items", item_type().Schema(limits)}, {"maxItems", limits.max_items}};
}
std::string ListType::Name(const Limits& limits) const {
  return "list of: " + item_type().Name(limits);
}
void ListType::Document(const std::string& pointer, std::vector<FieldDoc>& out) const {
  item_type().Document(pointer + "/0", out);
}

void OptionalType::Parse(const JsonCursor& at, const Limits& limits, void* to) const {
  if (at.json().is_null())
    Reset(to);
  else
    held_type().Parse(at, limits, Emplace(to));
}
Json OptionalType::Print(const void* value) const {
  const void* held = Held(value);
  return held ? held_type().Print(held) : Json();
}
Json OptionalType::Schema(const Limits& limits) const {
  return held_type().Schema(limits);
}
std::string OptionalType::Name(const Limits& limits) const {
  return held_type().Name(limits);
}
void OptionalType::Document(const std::string& pointer, std::vector<FieldDoc>& out) const {
  held_type().Document(pointer, out);
}

}  // namespace moecast
