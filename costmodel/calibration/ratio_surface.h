// Measured over modelled: ln(measured / baseline) of a table's curves, interpolated to shapes that
// were not measured. A model that knows tiles, waves and bytes leaves a ratio that is smoother than
// the time, so few points carry far.
//
// Along the axis a curve is interpolated linearly in ln(ratio) over log2(axis); beyond its ends the
// ratio stays. Between curves:
//   kKriging  ordinary kriging of the twelve nearest with the linear variogram gamma(d) = d, d the
//             distance over log2 of the keys: the weights sum to one and make the expected squared
//             error least where values differ in proportion to their distance (Matheron, Economic
//             Geology 1963). It has no parameter and passes through the measured curves; along one
//             key between two curves it is the straight line.
//   kInverseDistance
//             the eight nearest by 1/d^2 (Shepard 1968), for tables of few, scattered families.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"

namespace moecast {

class RatioSurface {
 public:
  enum class Scheme : uint8_t { kKriging, kInverseDistance };
  static constexpr int kMaxKeys = 4;
  using Key = std::array<double, kMaxKeys>;  // in the table's own units; unused ones 1

  struct Curve {
    Key key{1, 1, 1, 1};
    double axis_scale =
        1;  // the query's axis divided by this is the curve's (rows per expert against tokens)
    int family = 0;  // curves left out together
  };

  // `axis`: ascending, positive. All keys are positive.
  RatioSurface(Scheme scheme, std::vector<double> axis);
  // `measured_over_baseline` has one value for each of the axis, NaN where not measured. REQUIRES:
  // at least one value.
  void Add(const Curve& curve, std::span<const double> measured_over_baseline);
  void Finish();  // call once, after the last Add

  struct Result {
    double log_ratio = 0;
    double distance =
        0;  // to the nearest curve, 1: as far as that lies from its own nearest; 0 on one
    double outside = 0;  // octaves beyond the measured range, all keys and the axis together
  };
  // `left_out`: by curve; these are not looked at.
  Result At(const Key& key, double axis, std::span<const char> left_out = {}) const;

  std::span<const Curve> curves() const { return curves_; }
  double Largest(size_t dimension) const { return largest_[dimension]; }  // measured value of a key
  std::span<const double> axis() const { return axis_; }

 private:
  double Inside(int dimension, double key, double& outside) const;
  double Along(size_t curve, double log_axis) const;

  Scheme scheme_;
  std::vector<double> axis_, log_axis_;
  std::vector<Curve> curves_;
  std::vector<std::array<double, kMaxKeys>> place_;  // of each curve, log2 of the keys
  std::vector<double> spacing_;                      // from each curve to its nearest
  std::vector<double> log_scale_;
  std::vector<double> log_ratio_;  // curves x axis, missing ones filled from their neighbours
  std::vector<std::pair<size_t, size_t>>
      measured_;  // first and last measured axis index of a curve
  std::array<std::pair<double, double>, kMaxKeys> range_;  // of log2 of each key
  std::array<double, kMaxKeys> largest_{};                 // of each key
};

}  // namespace moecast
