// What a Fields table (base/fields.h) knows of the type of a member, apart from the struct it is
// in: how a value is read, printed and described. One object a type, its bodies in value_type.cc,
// so that a row of a table makes the compiler write no code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/enum_names.h"
#include "base/json.h"
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

// Of some type T; `value` and `to` point to a T.
class ValueType {
 public:
  // Replaces *to. Throws UserError where the JSON is no T or outside the limits; *to is then
  // anything.
  virtual void Parse(const JsonCursor& at, const Limits& limits, void* to) const = 0;
  virtual Json Print(const void* value) const = 0;
  virtual Json Schema(const Limits& limits) const = 0;
  virtual std::string Name(const Limits& limits) const = 0;  // "whole number from 1 to 9"
  // Adds a FieldDoc per leaf below `pointer`, and nothing where a T is itself a leaf.
  virtual void Document(const std::string& pointer, std::vector<FieldDoc>& out) const;
  // Whether printing leaves out a member that prints as null.
  virtual bool optional() const { return false; }

 protected:
  ~ValueType() = default;
};

// How a type is read that is none of those below; specialised beside the type:
//   template <>
//   struct Codec<StageLayers> {
//     static StageLayers Parse(const JsonCursor& at, const Limits& limits);
//     static Json Print(const StageLayers& v);
//     static Json Schema(const Limits& limits);
//     static std::string Type(const Limits& limits);
//   };
// Of other types it reads and prints single values, Codec<std::vector<int>>::Parse(at, {}).
template <class T>
struct Codec;

// T's ValueType where Codec<T> is specialised.
template <class T>
class TypeFor final : public ValueType {
  static_assert(
      !requires { typename Codec<T>::OfValueType; }, "T is no member type and has no Codec");

 public:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const override {
    *static_cast<T*>(to) = Codec<T>::Parse(at, limits);
  }
  Json Print(const void* value) const override {
    return Codec<T>::Print(*static_cast<const T*>(value));
  }
  Json Schema(const Limits& limits) const override { return Codec<T>::Schema(limits); }
  std::string Name(const Limits& limits) const override { return Codec<T>::Type(limits); }
};

template <class T>
const ValueType& TypeOf() {
  static constexpr TypeFor<T> type{};
  return type;
}
template <>
const ValueType& TypeOf<bool>();
template <>
const ValueType& TypeOf<int>();
template <>
const ValueType& TypeOf<int64_t>();
template <>
const ValueType& TypeOf<double>();
template <>
const ValueType& TypeOf<std::string>();
// Quantities are texts with units (base/quantity_text.h).
template <>
const ValueType& TypeOf<Bytes>();
template <>
const ValueType& TypeOf<Seconds>();
template <>
const ValueType& TypeOf<BytesPerSecond>();
template <>
const ValueType& TypeOf<FlopsPerSecond>();
template <>
const ValueType& TypeOf<Count>();

class EnumType : public ValueType {
 public:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const final;
  Json Print(const void* value) const final;
  Json Schema(const Limits& limits) const final;
  std::string Name(const Limits& limits) const final;

 protected:
  ~EnumType() = default;
  virtual std::vector<std::string_view> Names() const = 0;
  virtual std::string_view NameOfValue(const void* value) const = 0;
  virtual bool SetByName(std::string_view name,
                         void* to) const = 0;  // whether there is such a name
};
template <class E>
requires std::is_enum_v<E>
class TypeFor<E> final : public EnumType {
  std::vector<std::string_view> Names() const override { return NamesOf<E>(); }
  std::string_view NameOfValue(const void* value) const override {
    return NameOf(*static_cast<const E*>(value));
  }
  bool SetByName(std::string_view name, void* to) const override {
    const auto value = ByName<E>(name);
    if (value) *static_cast<E*>(to) = *value;
    return value.has_value();
  }
};

class ListType : public ValueType {
 public:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const final;
  Json Print(const void* value) const final;
  Json Schema(const Limits& limits) const final;
  std::string Name(const Limits& limits) const final;
  void Document(const std::string& pointer, std::vector<FieldDoc>& out) const final;

 protected:
  ~ListType() = default;
  virtual const ValueType& item_type() const = 0;
  virtual size_t Size(const void* list) const = 0;
  virtual const void* Item(const void* list, size_t index) const = 0;
  virtual void Clear(void* list) const = 0;
  virtual void* Append(void* list) const = 0;  // a new item, as T{}
};
template <class T>
class TypeFor<std::vector<T>> final : public ListType {
  using List = std::vector<T>;
  const ValueType& item_type() const override { return TypeOf<T>(); }
  size_t Size(const void* list) const override { return static_cast<const List*>(list)->size(); }
  const void* Item(const void* list, size_t index) const override {
    return static_cast<const List*>(list)->data() + index;
  }
  void Clear(void* list) const override { static_cast<List*>(list)->clear(); }
  void* Append(void* list) const override { return &static_cast<List*>(list)->emplace_back(); }
};

// null is absent, so that --set can take a value away.
class OptionalType : public ValueType {
 public:
  void Parse(const JsonCursor& at, const Limits& limits, void* to) const final;
  Json Print(const void* value) const final;
  Json Schema(const Limits& limits) const final;
  std::string Name(const Limits& limits) const final;
  void Document(const std::string& pointer, std::vector<FieldDoc>& out) const final;
  bool optional() const final { return true; }

 protected:
  ~OptionalType() = default;
  virtual const ValueType& held_type() const = 0;
  virtual const void* Held(const void* value) const = 0;  // null where nothing is held
  virtual void Reset(void* value) const = 0;
  virtual void* Emplace(void* value) const = 0;  // T{}
};
template <class T>
class TypeFor<std::optional<T>> final : public OptionalType {
  using Optional = std::optional<T>;
  const ValueType& held_type() const override { return TypeOf<T>(); }
  const void* Held(const void* value) const override {
    const Optional& v = *static_cast<const Optional*>(value);
    return v ? &*v : nullptr;
  }
  void Reset(void* value) const override { static_cast<Optional*>(value)->reset(); }
  void* Emplace(void* value) const override { return &static_cast<Optional*>(value)->emplace(); }
};

}  // namespace moecast
