// Elements of an attention head.
#pragma once

#include <cstdint>

namespace moecast {

struct HeadSizes {
  int64_t qk = 0;  // of a query and of a key
  int64_t v = 0;   // of a value

  bool operator==(const HeadSizes&) const = default;
};

}  // namespace moecast
