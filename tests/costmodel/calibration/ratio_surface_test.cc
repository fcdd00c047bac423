#include "costmodel/calibration/ratio_surface.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace moecast {
namespace {

// On a grid of keys 1, 2, 4, .. 64 in both, ratios given by a function of log2 of the keys and the
// axis.
RatioSurface Grid(double (*ratio)(double x, double y, double a)) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1, 2, 4, 8});
  for (int x = 0; x < 7; ++x)
    for (int y = 0; y < 7; ++y) {
      std::vector<double> r;
      for (int a = 0; a < 4; ++a) r.push_back(ratio(x, y, a));
      s.Add({.key = {std::exp2(x), std::exp2(y), 1, 1}, .family = x * 7 + y}, r);
    }
  s.Finish();
  return s;
}

TEST(RatioSurfaceTest, HitsMeasuredPoints) {
  const RatioSurface s =
      Grid([](double x, double y, double a) { return 1 + std::fmod(x * 3 + y * 5 + a * 7, 4); });
  for (int x = 0; x < 7; ++x)
    for (int y = 0; y < 7; ++y)
      for (int a = 0; a < 4; ++a) {
        const auto r = s.At({std::exp2(x), std::exp2(y), 1, 1}, std::exp2(a));
        EXPECT_NEAR(r.log_ratio, std::log(1 + std::fmod(x * 3 + y * 5 + a * 7, 4)), 2e-3);
        EXPECT_EQ(r.distance, 0);
        EXPECT_EQ(r.outside, 0);
      }
}

TEST(RatioSurfaceTest, APlaneInLogarithmsIsReproducedWithinATenthOfAStep) {
  const RatioSurface s =
      Grid([](double x, double y, double a) { return std::exp(0.1 * x - 0.05 * y + 0.02 * a); });
  Random random(7);
  for (int i = 0; i < 200; ++i) {
    const double x = 1 + 4 * random.Uniform();
    const double y = 1 + 4 * random.Uniform();
    const double a = 3 * random.Uniform();
    const auto r = s.At({std::exp2(x), std::exp2(y), 1, 1}, std::exp2(a));
    EXPECT_NEAR(r.log_ratio, 0.1 * x - 0.05 * y + 0.02 * a, 0.1 * 0.1);
  }
}

TEST(RatioSurfaceTest, BetweenTwoCurvesOfOneKeyItIsTheStraightLine) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  s.Add({.key = {2, 1, 1, 1}}, std::vector<double>{std::exp(0.1)});
  s.Add({.key = {32, 1, 1, 1}}, std::vector<double>{std::exp(0.5)});
  s.Finish();
  EXPECT_NEAR(s.At({4, 1, 1, 1}, 1).log_ratio, 0.2, 1e-6);
  EXPECT_NEAR(s.At({8, 1, 1, 1}, 1).log_ratio, 0.3, 1e-6);
  EXPECT_NEAR(s.At({8, 1, 1, 1}, 1).distance, 0.5, 1e-12);  // two octaves of four
}

TEST(RatioSurfaceTest, TwoCurvesInOnePlaceShareTheWeight) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  for (const double ratio : {1.0, 4.0}) s.Add({.key = {2, 1, 1, 1}}, std::vector<double>{ratio});
  s.Finish();
  EXPECT_NEAR(s.At({2, 1, 1, 1}, 1).log_ratio, std::log(2.0), 1e-6);
}

TEST(RatioSurfaceTest, BeyondTheRangeTheRatioStaysAndTheDistanceIsToldInOctaves) {
  const RatioSurface s = Grid([](double x, double, double) { return std::exp(0.1 * x); });
  const auto edge = s.At({64, 8, 1, 1}, 8), beyond = s.At({256, 8, 1, 1}, 32);
  EXPECT_NEAR(beyond.log_ratio, edge.log_ratio, 1e-4);  // curves that end count less there
  EXPECT_NEAR(beyond.outside, 4, 1e-12);                // two of the key, two of the axis
}

TEST(RatioSurfaceTest, TheLargestMeasuredKeyIsExact) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  for (const double key : {51200.0, 3.0, 700.0})
    s.Add({.key = {key, 1, 1, 1}}, std::vector<double>{1});
  s.Finish();
  EXPECT_EQ(s.Largest(0), 51200);
  EXPECT_EQ(s.Largest(1), 1);
}

TEST(RatioSurfaceTest, LeftOutCurvesAreNotLookedAt) {
  RatioSurface s(RatioSurface::Scheme::kInverseDistance, {1});
  s.Add({.key = {1, 1, 1, 1}}, std::vector<double>{1.0});
  s.Add({.key = {4, 1, 1, 1}}, std::vector<double>{2.0});
  s.Finish();
  const std::vector<char> without_first = {1, 0};
  EXPECT_NEAR(s.At({1, 1, 1, 1}, 1, without_first).log_ratio, std::log(2.0), 1e-9);
  EXPECT_NEAR(s.At({2, 1, 1, 1}, 1).log_ratio, std::log(2.0) / 2, 1e-9);  // as far from both
}

}  // namespace
}  // namespace moecast
