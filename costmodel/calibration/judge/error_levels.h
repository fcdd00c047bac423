// How estimates err, from residuals of points that were left out. Errors of one table come at two
// levels: common to a curve (all m of one weight, all contexts of one batch) and own to a point.
// The level common to the whole table needs a second table (EngineDisagreement, left_out.h).
//   residual ln(estimate / measured) = curve's + point's
//   own   = q80(|residual - its curve's mean|) / z * sqrt(n / (n - 1))        n points a curve
//   curve = sqrt((q80(|curve's mean|) / z)^2 - own^2 / n)
// The 80th percentile over z = 1.28 is the standard deviation of a normal distribution with the
// same 80% interval: what intervals promise. Few independent units (the families of fused MoE
// layers) leave the spread itself uncertain, so both levels are widened to the predictive interval
// of Student's distribution, t(units - 1) / z * sqrt(1 + 1 / units).
#pragma once

#include <span>
#include <vector>

namespace moecast {

struct Residual {
  int unit = 0;  // curves left out together: a family, or the curve itself
  int fold = 0;  // units left out together
  int curve = 0;
  double axis = 0;  // where on the curve
  double us = 0;    // measured
  double log = 0;   // ln(estimate / measured)
};

struct ErrorLevels {
  double curve = 0, own = 0;  // standard deviations of ln(time)
};

struct Coverage {
  double points_percent = 0, curves_percent = 0;
};

// Half the width of the 80% interval in standard deviations.
double HalfInterval80();
// The 90th percentile of Student's t. REQUIRES: degrees >= 1.
double StudentQuantile90(int degrees);
// The 80th percentile of |x| over HalfInterval80(); 0 of none.
double Spread(std::vector<double> x);
// The upper one of two in the middle; 0 of none.
double Median(std::vector<double> x);

ErrorLevels LevelsOf(std::span<const Residual> residuals);

// How often a fold's points, and its curves' mean residuals, lie inside the 80% interval that the
// levels of the other folds give them.
Coverage CoverageOf(std::span<const Residual> residuals);

}  // namespace moecast
