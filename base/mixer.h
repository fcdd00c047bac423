// Mixes the members of a value into its hash, for keys of unordered containers: the same for equal
// values of one build, no promise beyond it. A struct that is a key names its members once:
//
//   inline auto MembersOf(const Share& share) {
//     const auto& [mean, most] = share;
//     return std::tie(mean, most);
//   }
//
// The binding does not compile where one is forgotten.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace moecast {

template <class T>
concept HasMembers = requires(const T& value) {
  MembersOf(value);
};

// The constant and the shifts are boost::hash_combine's. Members are whole numbers, enums, bool,
// double, quantities of base/units.h, pointers (by address), structs with MembersOf, optionals,
// pairs, variants and ranges of them, std::string being one.
class Mixer {
 public:
  template <class... Members>
  size_t operator()(const Members&... members) {
    (Add(members), ...);
    return static_cast<size_t>(state_);
  }

 private:
  template <class T>
  void Add(const T& member) {
    if constexpr (HasMembers<T>)
      std::apply([this](const auto&... members) { (this->Add(members), ...); }, MembersOf(member));
    else if constexpr (std::is_same_v<T, double>)
      Bits(std::bit_cast<uint64_t>(member + 0.0));  // -0 equals 0
    else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>)
      Bits(static_cast<uint64_t>(member));
    else if constexpr (std::is_pointer_v<T>)
      Bits(reinterpret_cast<uintptr_t>(member));
    else
      Compound(member);
  }
  template <class T>
  void Compound(const std::shared_ptr<T>& pointer) {
    Add(pointer.get());
  }
  template <class T>
  void Compound(const std::optional<T>& member) {
    Bits(member.has_value());
    if (member) Add(*member);
  }
  template <class A, class B>
  void Compound(const std::pair<A, B>& member) {
    Add(member.first);
    Add(member.second);
  }
  template <class... Ts>
  void Compound(const std::variant<Ts...>& member) {
    Bits(member.index());
    std::visit([this](const auto& value) { Add(value); }, member);
  }
  template <class Range>
  requires requires(const Range& range) { std::begin(range); }
  void Compound(const Range& range) {
    Bits(std::size(range));
    for (const auto& member : range) Add(member);
  }
  template <class Q>
  requires requires(const Q& quantity) {
    { quantity.value } -> std::convertible_to<double>;
  }
  void Compound(const Q& quantity) { Add(quantity.value); }

  void Bits(uint64_t bits) {
    state_ ^= bits + 0x9e3779b97f4a7c15ULL + (state_ << 12) + (state_ >> 4);
  }
  uint64_t state_ = 0;
};

}  // namespace moecast
