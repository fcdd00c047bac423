// What no table has: efficiencies and factors reasoned from published figures, each with its source and how
// far it may be off. The import writes them into calibration.json; estimates read them from there.
#pragma once

#include <string_view>

#include "base/known.h"
#include "costmodel/calibration/calibration_file.h"

namespace moecast {

// Two engines that call the same library still differ by this much on the median curve.
inline constexpr Known kLeastSigmaTable = {0.03, "clock and power of two cards of one kind"};
inline constexpr Known kOneEngineSigmaTable = {
    0.08,
    "reasoned: one engine only; where two were measured they disagree by 6% (both call cuBLAS) to 24% (two "
    "block-scaled kernels)"};

inline constexpr Known kMoeSigmaTable = {
    0.15,
    "reasoned: fused MoE layers of two engines disagree by 12% with block-scaled fp8, and vLLM's bf16 by far "
    "more "
    "under expert parallelism, where it computes rows of absent experts"};

// A calibration with its stack's reasoned entries and no table. REQUIRES: stack is 2025 or 2024h1.
CalibrationFile ReasonedCalibration(std::string_view stack);

}  // namespace moecast
