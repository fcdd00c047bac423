// A constant with its provenance: `Known{0.85, "FlashMLA notes: 865 of 989 TFLOP/s under
// throttling"}`.
#pragma once

namespace moecast {

struct Known {
  double value;
  const char* source;
};

}  // namespace moecast
