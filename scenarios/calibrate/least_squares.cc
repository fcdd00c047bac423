#include "scenarios/calibrate/least_squares.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

constexpr double kDifference = 1e-3;  // for slopes
// Far below what is printed of either scalar, and above what the picoseconds that a step is counted
// in make of its slopes: moves end at some 4e-8.
constexpr double kSettled = 1e-6;
constexpr int kMostSteps = 50;

using Residuals = std::span<const std::function<double(const Point&)>>;

// Where the residuals, taken as linear around x, have their least sum of squares.
Point Next(Residuals residuals, const Point& x) {
  double a00 = 0;
  double a01 = 0;
  double a11 = 0;
  double b0 = 0;
  double b1 = 0;
  for (const auto& residual : residuals) {
    const double e = residual(x);
    const double d0 = (residual({x[0] + kDifference, x[1]}) - e) / kDifference;
    const double d1 = (residual({x[0], x[1] + kDifference}) - e) / kDifference;
    a00 += d0 * d0, a01 += d0 * d1, a11 += d1 * d1, b0 -= d0 * e, b1 -= d1 * e;
  }
  const double det = a00 * a11 - a01 * a01;
  Point next{x[0] + (b0 * a11 - b1 * a01) / det, x[1] + (b1 * a00 - b0 * a01) / det};
  if (next[1] < 0) next = {x[0] + (b0 + a01 * x[1]) / a00, 0};
  if (next[0] < 0) next = {0, std::max(0.0, x[1] + (b1 + a01 * x[0]) / a11)};
  return next;
}

}  // namespace

LeastSquares LeastSquaresOf(Residuals residuals, Point start) {
  LeastSquares fit{.at = start};
  while (!fit.converged && fit.steps < kMostSteps) {
    const Point next = Next(residuals, fit.at);
    fit.last_move = std::max(std::fabs(next[0] - fit.at[0]), std::fabs(next[1] - fit.at[1]));
    fit.at = next;
    ++fit.steps;
    fit.converged = fit.last_move <= kSettled;
  }
  return fit;
}

}  // namespace moecast
