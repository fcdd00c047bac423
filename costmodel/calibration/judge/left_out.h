// How far a table's estimates are off where it has no measurement: a fifth of its curves is left
// out whole and estimated from the others, in turn for each fifth (MoE: one family of shapes in
// turn). What an estimate's own sigmas rest on (error_levels.h).
#pragma once

#include <vector>

#include "costmodel/calibration/judge/error_levels.h"
#include "costmodel/calibration/table_kinds.h"

namespace moecast {

// Points of 10 us and more whose place on the curve (m, tokens, context: the table's axis) is in
// [from, to].
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
  double inverse_distance_mape_percent = 0;  // of inverse_distance.h, same left-out curves
  ErrorLevels levels, levels_short;          // of points of 10 us and more; of shorter ones
  // Of 10 us and more; levels from four fifths, counted on the fifth.
  Coverage coverage;
  std::vector<LeftOutBand> bands;  // up to 64, up to 1024, above; those with points
};

LeftOut EvaluateLeftOut(const TableKind& kind, const CurveTable& table, const Machine& machine,
                        uint64_t seed = 1);

// One engine's times taken for another's, on the same shapes: points of 10 us and more.
struct Disagreement {
  size_t points = 0;
  // Of ln(time), common to a table: with the levels below, as they are on a measured curve, 80% of
  // |ln(a / b)| stay inside. What engines disagree on point by point counts as common, since it
  // says how far a third one may be off anywhere.
  double sigma = 0;
  // Points of `b` inside the 80% interval around `a`: sigma from four fifths of the curves, counted
  // on the fifth.
  double coverage_percent = 0;
};
Disagreement EngineDisagreement(const CurveTable& a, const CurveTable& b,
                                const ErrorLevels& levels);

}  // namespace moecast
