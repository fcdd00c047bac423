// The yardstick that estimates are measured against: interpolation without a model of the kernel,
// as well as it can be done. ln of the time, or of the time over the work (an efficiency), of the
// nearest curves weighed by 1/d^p (Shepard 1968), distances over log2 of the keys or over steps of
// the measured grid. All variants are tried and the one with the least error on the table is taken,
// with hindsight that an estimate does not have.
#pragma once

#include <span>
#include <vector>

#include "costmodel/calibration/judge/error_levels.h"
#include "costmodel/calibration/table_kinds.h"

namespace moecast {

// `fold_of`: of each row of the table; rows of one fold are estimated from the others. Residuals
// come in the order of rows and axis values; those of `least_us` and more decide between the
// variants.
std::vector<Residual> BestInverseDistance(const TableKind& kind, const CurveTable& table,
                                          std::span<const int> fold_of, double least_us);

}  // namespace moecast
