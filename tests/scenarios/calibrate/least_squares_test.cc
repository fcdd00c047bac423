#include "scenarios/calibrate/least_squares.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace moecast {
namespace {

using Residuals = std::vector<std::function<double(const Point&)>>;

// y = 2 + 3 t at t = 0, 1, 2 with errors of +1, -2, +1, which are orthogonal to the line.
Residuals Line(double at_0, double at_1, double at_2) {
  const auto residual = [](double t, double y) {
    return [t, y](const Point& x) { return x[0] + x[1] * t - y; };
  };
  return {residual(0, at_0), residual(1, at_1), residual(2, at_2)};
}

TEST(LeastSquaresTest, ALineThroughPointsIsFoundAtOnce) {
  const LeastSquares fit = LeastSquaresOf(Line(2 + 1, 5 - 2, 8 + 1), {0, 0});
  EXPECT_TRUE(fit.converged);
  EXPECT_LE(fit.steps, 3);  // the first arrives, up to the rounding of differences
  EXPECT_NEAR(fit.at[0], 2, 1e-9);
  EXPECT_NEAR(fit.at[1], 3, 1e-9);
}

TEST(LeastSquaresTest, AnUnknownThatWouldBeNegativeStaysAtZeroAndTheOtherIsFittedAlone) {
  // 4, 2, 0 fall: without a slope their mean is 2. -4, 0, 4 start below 0: through the origin the
  // slope is (0 * 1 + 4 * 2) / (1 + 4) = 1.6.
  const LeastSquares flat = LeastSquaresOf(Line(4, 2, 0), {1, 1});
  EXPECT_TRUE(flat.converged);
  EXPECT_NEAR(flat.at[0], 2, 1e-9);
  EXPECT_EQ(flat.at[1], 0);
  const LeastSquares steep = LeastSquaresOf(Line(-4, 0, 4), {1, 1});
  EXPECT_TRUE(steep.converged);
  EXPECT_EQ(steep.at[0], 0);
  EXPECT_NEAR(steep.at[1], 1.6, 1e-9);
}

TEST(LeastSquaresTest, ACurvedProblemTakesAsManyStepsAsItNeeds) {
  // e^x0 = 5 and x1 = 7.
  const Residuals residuals = {[](const Point& x) { return std::exp(x[0]) - 5; },
                               [](const Point& x) { return x[1] - 7; }};
  const LeastSquares fit = LeastSquaresOf(residuals, {4, 0});
  EXPECT_TRUE(fit.converged);
  EXPECT_GT(fit.steps, 4);
  EXPECT_NEAR(fit.at[0], std::log(5.0), 1e-9);
}

// Newton's method on atan leaves the root 5 behind: from 0 it steps to atan(5) * 26 = 35.7, from
// there below 0, and begins again.
TEST(LeastSquaresTest, WhatDoesNotSettleSaysSo) {
  const Residuals residuals = {[](const Point& x) { return std::atan(x[0] - 5); },
                               [](const Point& x) { return x[1] - 1; }};
  const LeastSquares fit = LeastSquaresOf(residuals, {0, 0});
  EXPECT_FALSE(fit.converged);
  EXPECT_GT(fit.last_move, 10);
}

TEST(LeastSquaresTest, UnknownsThatNothingTellsApartDoNotSettle) {
  const Residuals residuals = {[](const Point& x) { return x[0] + x[1] - 1; }};
  EXPECT_FALSE(LeastSquaresOf(residuals, {0.3, 0.3}).converged);
}

}  // namespace
}  // namespace moecast
