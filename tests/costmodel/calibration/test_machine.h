// A device for the tests of the calibration, an H100's figures rounded.
#pragma once

#include "costmodel/calibration/gemm_model.h"

namespace moecast {

inline Machine TestMachine() {
  return {.sms = 132, .bf16_per_sm = 7.5e12, .fp8_per_sm = 15e12, .hbm = 3.35e12, .l2 = 8e12};
}

}  // namespace moecast
