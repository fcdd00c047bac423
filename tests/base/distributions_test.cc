#include "base/distributions.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

namespace moecast {
namespace {

constexpr int kDraws = 200000;

struct Moments {
  double mean = 0, variance = 0;
};
Moments MomentsOf(const std::function<double(Random&)>& draw) {
  Random random(11);
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = draw(random);
    EXPECT_GE(x, 0);
    sum += x;
    squares += x * x;
  }
  const double mean = sum / kDraws;
  return {mean, squares / kDraws - mean * mean};
}
// Five standard errors of a mean of kDraws.
double Within(double variance) {
  return 5 * std::sqrt(variance / kDraws);
}

TEST(DistributionsTest, TheExponentialHasMeanAndVarianceOne) {
  const Moments m = MomentsOf(Exponential);
  EXPECT_NEAR(m.mean, 1, Within(1));
  EXPECT_NEAR(m.variance, 1, Within(8));  // fourth central moment 9, less 1
}

TEST(DistributionsTest, AGammaVariableHasMeanAndVarianceOfItsShape) {
  for (const double shape : {0.2, 0.9, 1.0, 3.5, 40.0}) {
    const Moments m =
        MomentsOf([&](Random& random) { return std::exp(LogGammaVariable(shape, random)); });
    EXPECT_NEAR(m.mean, shape, Within(shape)) << shape;
    // The fourth central moment is 3 shape^2 + 6 shape.
    EXPECT_NEAR(m.variance, shape, Within(2 * shape * shape + 6 * shape)) << shape;
  }
}

TEST(DistributionsTest, AWeibullVariableHasTheMomentsOfGammaFunctions) {
  for (const double shape : {0.7, 1.0, 2.0, 5.0}) {
    const auto moment = [&](double k) { return std::tgamma(1 + k / shape); };
    const double mean = moment(1), variance = moment(2) - mean * mean;
    const double fourth = moment(4) - 4 * mean * moment(3) + 6 * mean * mean * moment(2) -
                          3 * mean * mean * mean * mean;
    const Moments m = MomentsOf([&](Random& random) { return Weibull(shape, random); });
    EXPECT_NEAR(m.mean, mean, Within(variance)) << shape;
    EXPECT_NEAR(m.variance, variance, Within(fourth - variance * variance)) << shape;
  }
}

TEST(DistributionsTest, ZipfDrawsRanksInProportion) {
  for (const double exponent : {0.0, 1.0, 2.5}) {
    const Zipf zipf(5, exponent);
    Random random(12);
    std::vector<double> counts(5, 0.0);
    for (int i = 0; i < kDraws; ++i) ++counts.at(zipf.Draw(random));
    double sum = 0;
    for (int r = 1; r <= 5; ++r) sum += std::pow(r, -exponent);
    for (int r = 1; r <= 5; ++r) {
      const double p = std::pow(r, -exponent) / sum;
      EXPECT_NEAR(counts[r - 1] / kDraws, p, Within(p * (1 - p))) << exponent << " " << r;
    }
  }
}

TEST(DistributionsTest, TheNormalDistributionFunctionInvertsItsQuantiles) {
  for (const double p : {1e-9, 0.01, 0.5, 0.9, 0.99999})
    EXPECT_NEAR(NormalCdf(NormalQuantile(p)), p, 1e-8 * p) << p;
}

}  // namespace
}  // namespace moecast
