// How far a table's estimates are off where it has no measurement: a fifth of its curves is left out whole
// and estimated from the others, in turn for each fifth (MoE: one family of shapes in turn). What an
// estimate's own sigma rests on.
#pragma once

#include <vector>

#include "costmodel/calibration/table_kinds.h"

namespace moecast {

// Points of 10 us and more whose place on the curve (m, tokens, context: the table's axis) is in [from, to].
struct LeftOutBand {
  double from = 0, to = 0;
  size_t points = 0;
  double mape_percent = 0;
  double inverse_distance_mape_percent = 0;
};

struct LeftOut {
  size_t points = 0;        // of 10 us and more
  double mape_percent = 0;  // mean absolute error of the time
  double p90_percent = 0;
  double inverse_distance_mape_percent =
      0;  // plain inverse-distance interpolation of ln(time), same left-out curves
  // The 80% interval of a normal distribution covers 80% of the left-out errors with these.
  double sigma_own = 0, sigma_own_short = 0;
  double coverage_percent =
      0;  // of the points of 10 us and more; sigma from four fifths, counted on the fifth
  std::vector<LeftOutBand> bands;  // up to 64, up to 1024, above; those with points
};

LeftOut EvaluateLeftOut(const TableKind& kind, const CurveTable& table, const Machine& machine,
                        uint64_t seed = 1);

// Measurements that something disturbed: over the model more than twice both their neighbours along the
// curve, and slower than the next larger size. They become missing. Returns how many there were.
size_t DropSpikes(const TableKind& kind, CurveTable& table, const Machine& machine);

// How far two engines disagree on the same shapes: the median over curves of |mean ln(a / b)|, times 1.48 to
// make it the standard deviation of a normal distribution. Points of 10 us and more.
double EngineDisagreement(const CurveTable& a, const CurveTable& b);

}  // namespace moecast
