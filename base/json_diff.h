// Where two JSON values differ.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace moecast {

struct JsonDifference {
  std::string pointer;  // "/training/parallel/dp"
  Json a, b;            // null where absent
};

// In the order of `a`, then what only `b` has. Objects are compared by key; lists of equal length
// that hold lists or objects item by item, other lists as a whole.
std::vector<JsonDifference> DifferencesOf(const Json& a, const Json& b);

}  // namespace moecast
