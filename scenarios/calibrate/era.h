// How much slower the GEMMs of an older stack are than the tables of a younger one: from the
// projections of one model in the profiles of Vidur (H100, early 2024). Those of its other model
// are left to check it (claims).
#pragma once

#include <span>

#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/calibration_file.h"
#include "traces/measurements.h"

namespace moecast {

// Makes "gemm_bf16" of `older` the median of measured / estimated over the products of 1024 rows
// and more of the Llama files among `profiles`; without one `older` has no such number. What single
// shapes deviate is its own error. Throws UserError for a missing column or a field that is no
// number.
void FitGemmEra(std::span<const Measurements> profiles, const Calibration& younger,
                CalibrationFile& older);

}  // namespace moecast
