// Variables of named distributions from a pseudo-random stream, by formulas of our own, so that the
// same seed gives the same values with every standard library.
#pragma once

#include <cstddef>
#include <vector>

#include "base/random.h"

namespace moecast {

// Distribution function of the standard normal.
double NormalCdf(double z);

// Uniform in (0, 1), for quantile functions.
double UniformInside(Random& random);

// Mean 1.
double Exponential(Random& random);

// Logarithm of a gamma variable of scale 1 (Marsaglia and Tsang, ACM TOMS 2000); shapes below 1 by
// their Gamma(a) = Gamma(a + 1) U^(1/a), in logarithms, for which no shape is too small.
// REQUIRES: shape > 0.
double LogGammaVariable(double shape, Random& random);

// Scale 1: mean Gamma(1 + 1/shape), which is 1 for shape 1, the exponential. REQUIRES: shape > 0.
double Weibull(double shape, Random& random);

// Ranks 0 to count - 1, rank r in proportion to (r + 1)^-exponent; exponent 0 is uniform.
class Zipf {
 public:
  // REQUIRES: count > 0, exponent >= 0.
  Zipf(size_t count, double exponent);
  size_t Draw(Random& random) const;

 private:
  std::vector<double> up_to_;  // sum of the proportions up to each rank
};

}  // namespace moecast
