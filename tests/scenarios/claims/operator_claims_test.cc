#include "scenarios/claims/operator_claims.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

TEST(OperatorClaimsTest, EachHasANameOfItsOwnADeviceAndASource) {
  std::set<std::string> names;
  for (const OperatorClaim& c : LoadOperatorClaims()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    EXPECT_FALSE(c.source.empty()) << c.name;
    EXPECT_NO_THROW(LoadDevice(c.device)) << c.name;
  }
  EXPECT_GT(names.size(), 100u);
}

TEST(OperatorClaimsTest, ARateIsTheWorkOverTheTimeAndTheIntervalTurnsWithIt) {
  // 2 * 4096 * 4096 * 4096 flops in t: 137.439 GFLOP.
  const Calibration c = LoadCalibration(LoadDevice("h100"), "2025");
  OperatorClaim claim{.name = "", .query = GemmQuery{.m = 4096, .n = 4096, .k = 4096}};
  const Interval time = Predict(claim, c);
  claim.quantity = OperatorQuantity::kTflops;
  const Interval rate = Predict(claim, c);
  EXPECT_NEAR(rate.p50 * time.p50, 137438.953472, 1e-3);
  EXPECT_NEAR(rate.p10 * time.p90, 137438.953472, 1e-3);
  claim.quantity = OperatorQuantity::kGbps;
  EXPECT_NEAR(Predict(claim, c).p50 * time.p50, 3 * 4096.0 * 4096 * 2 * 1e-3, 1e-3);
}

// The published rows of one group of the file: mean absolute error in per cent, and how many.
std::pair<double, int> MeanError(std::string_view prefix) {
  double sum = 0;
  int n = 0;
  for (const OperatorClaim& c : LoadOperatorClaims()) {
    if (!c.name.starts_with(prefix)) continue;
    const Calibration calibration = LoadCalibration(LoadDevice(c.device), c.stack);
    sum += 100 * std::fabs(Predict(c, calibration).p50 / c.published - 1), ++n;
  }
  return {n ? sum / n : 0, n};
}

TEST(OperatorClaimsTest, GroupedProductsAreWithinTenPercentOfDeepGemmsInTheMean) {
  const auto [contiguous, four] = MeanError("DeepGEMM contiguous");
  EXPECT_EQ(four, 4);
  EXPECT_LT(contiguous, 10);
  const auto [masked, six] = MeanError("DeepGEMM masked");
  EXPECT_EQ(six, 6);
  EXPECT_LT(masked, 11);
}

TEST(OperatorClaimsTest, TheModelThatMadeNoFactorIsWithinTenPercentInTheMeanAndInsideItsIntervals) {
  int rows = 0, inside = 0;
  for (const OperatorClaim& c : LoadOperatorClaims()) {
    if (!c.name.starts_with("Qwen-72B")) continue;
    EXPECT_FALSE(c.used_for_fitting) << c.name;
    const Interval i = Predict(c, LoadCalibration(LoadDevice(c.device), c.stack));
    ++rows, inside += i.p10 <= c.published && c.published <= i.p90;
  }
  EXPECT_EQ(rows, 48);
  EXPECT_GE(inside, 0.7 * rows);
  EXPECT_LE(inside, 0.9 * rows);
  EXPECT_LT(MeanError("Qwen-72B").first, 10);
}

}  // namespace
}  // namespace moecast
