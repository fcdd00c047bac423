// The text names of an enumeration, in one table used by parsing, printing, help and documentation.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace moecast {

template <class E>
struct EnumName {
  E value;
  std::string_view name;
};

// Specialise with `static constexpr EnumName<E> kNames[]`.
template <class E>
struct EnumNames;

template <class E>
constexpr std::string_view NameOf(E value) {
  for (const auto& row : EnumNames<E>::kNames)
    if (row.value == value) return row.name;
  return "?";
}

template <class E>
constexpr std::optional<E> ByName(std::string_view name) {
  for (const auto& row : EnumNames<E>::kNames)
    if (row.name == name) return row.value;
  return std::nullopt;
}

// In the order of the table.
template <class E>
std::vector<std::string_view> NamesOf() {
  std::vector<std::string_view> names;
  for (const auto& row : EnumNames<E>::kNames) names.push_back(row.name);
  return names;
}

}  // namespace moecast
