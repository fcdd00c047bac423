// A value with one of its members changed at a time, through MembersOf (base/mixer.h): what a key
// must tell apart.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/mixer.h"

namespace moecast {

// Calls visit() after each change of a part of `value`, which is as before behind the last. A
// shared value is changed to another address, which visit must not look behind.
template <class T>
void EachChange(T& value, const std::function<void()>& visit);

namespace each_change {

template <class T>
void With(T& value, const T& other, const std::function<void()>& visit) {
  const T before = value;
  value = other;
  visit();
  value = before;
}
template <class T>
void Of(std::shared_ptr<T>& value, const std::function<void()>& visit) {
  With(value, std::shared_ptr<T>(std::shared_ptr<T>(), reinterpret_cast<T*>(&value)), visit);
}
template <class T>
void Of(std::optional<T>& value, const std::function<void()>& visit) {
  With(value, value ? std::optional<T>() : std::optional<T>(T{}), visit);
  if (value) EachChange(*value, visit);
}
template <class T>
void Of(std::vector<T>& value, const std::function<void()>& visit) {
  std::vector<T> longer = value;
  longer.emplace_back();
  With(value, longer, visit);
  for (T& element : value) EachChange(element, visit);
}
template <class T, size_t n>
void Of(std::array<T, n>& value, const std::function<void()>& visit) {
  for (T& element : value) EachChange(element, visit);
}
template <class A, class B>
void Of(std::pair<A, B>& value, const std::function<void()>& visit) {
  EachChange(value.first, visit);
  EachChange(value.second, visit);
}
inline void Of(std::string& value, const std::function<void()>& visit) {
  With(value, value + "x", visit);
}
template <class T>
requires requires(T& value) {
  value.value;
}
void Of(T& value, const std::function<void()>& visit) {
  With(value, T(value.value + 1), visit);
}

}  // namespace each_change

template <class T>
void EachChange(T& value, const std::function<void()>& visit) {
  if constexpr (HasMembers<T>) {
    // Of a value that is not const.
    std::apply(
        [&](const auto&... members) {
          (EachChange(const_cast<std::remove_cvref_t<decltype(members)>&>(members), visit), ...);
        },
        MembersOf(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    each_change::With(value, !value, visit);
  } else if constexpr (std::is_enum_v<T>) {
    each_change::With(value, static_cast<T>(static_cast<int>(value) + 1), visit);
  } else if constexpr (std::is_pointer_v<T>) {
    each_change::With(value, reinterpret_cast<T>(&value), visit);
  } else if constexpr (std::is_arithmetic_v<T>) {
    each_change::With(value, static_cast<T>(value + 1), visit);
  } else {
    each_change::Of(value, visit);
  }
}

// How many changes of a part of it make neither an unequal value nor another hash.
struct Changes {
  int all = 0;
  int same_value = 0;
  int same_hash = 0;
};
template <class Key>
Changes ChangesOf(Key key) {
  const Key before = key;
  Changes changes;
  EachChange(key, [&] {
    ++changes.all;
    changes.same_value += key == before;
    changes.same_hash += Mixer()(key) == Mixer()(before);
  });
  return changes;
}

}  // namespace moecast
