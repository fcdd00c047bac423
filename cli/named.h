// A word of the command line as a value of an enumeration.
#pragma once

#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"

namespace moecast {

// Throws UserError with the names there are and the nearest. `option` is for messages.
template <class E>
E Named(const std::string& option, const std::string& word) {
  if (const auto value = ByName<E>(word)) return *value;
  std::vector<std::string_view> names;
  for (const auto& row : EnumNames<E>::kNames) names.push_back(row.name);
  throw UserError({.file = option,
                   .value = "\"" + Shortened(word) + "\"",
                   .expected = "one of " + Join(names),
                   .hint = Nearest(word, names)});
}

}  // namespace moecast
