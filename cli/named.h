// Enumerations by the names that users write.
#pragma once

#include "base/enum_names.h"
#include "base/error.h"

namespace moecast {

// Throws UserError of `option`, with the names there are, where the word is none of E's.
template <class E>
E Named(const std::string& option, const std::string& word) {
  if (const auto value = ByName<E>(word)) return *value;
  const auto names = NamesOf<E>();
  throw UserError({.file = option,
                   .value = "\"" + Shortened(word) + "\"",
                   .expected = "one of " + Join(names),
                   .hint = Nearest(word, names)});
}

}  // namespace moecast
