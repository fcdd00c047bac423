#include "costmodel/expert_load.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace moecast {
namespace {

TEST(LoadTest, BalancedRoutingIsEvenAndDropsNothing) {
  const ExpertLoad load = LoadOf({}, 8);
  EXPECT_EQ(load.visits.mean, 1);
  EXPECT_EQ(load.visits.most, 1);
}

TEST(LoadTest, OneDeviceHasNoVariation) {
  const ExpertLoad load = LoadOf({.device_cv = 0.5, .capacity_factor = 1.0}, 1);
  EXPECT_EQ(load.visits.mean, 1);
  EXPECT_EQ(load.visits.most, 1);
}

TEST(LoadTest, ABalancedLoadAboveTheCapacityIsCutToItOrToWhatIsNeverDropped) {
  EXPECT_EQ(LoadOf({.capacity_factor = 0.5}, 8).visits.mean, 0.5);
  EXPECT_EQ(LoadOf({.capacity_factor = 0.5, .never_dropped = 0.8}, 8).visits.most, 0.8);
  EXPECT_EQ(LoadOf({.capacity_factor = 2.0}, 8).visits.mean, 1);
}

// The larger of two log-normal variables of mean 1 is 2 Phi(sigma / sqrt(2)) = 1 + erf(sigma / 2)
// in the mean (Margrabe, Journal of Finance 1978: one asset exchanged for another).
TEST(LoadTest, OfTwoDevicesTheLargerLoadIsKnownInClosedForm) {
  for (const double sigma : {0.01, 0.3, 1.0}) {
    const double cv = std::sqrt(std::expm1(sigma * sigma));
    EXPECT_NEAR(LoadOf({.device_cv = cv}, 2).visits.most, 1 + std::erf(sigma / 2), 1e-9) << sigma;
  }
}

// For a small variation a log-normal is a normal: 1 + cv x 1.4236, the expected largest of 8 (H. L.
// Harter, Biometrika 48, 1961), and cut at the mean the mean loses cv / sqrt(2 pi).
TEST(LoadTest, ASmallVariationIsThatOfNormals) {
  EXPECT_NEAR(LoadOf({.device_cv = 0.001}, 8).visits.most, 1 + 0.001 * 1.4236, 1e-6);
  const ExpertLoad cut = LoadOf({.device_cv = 0.001, .capacity_factor = 1.0}, 8);
  EXPECT_NEAR(cut.visits.mean, 1 - 0.001 / std::sqrt(2 * M_PI), 1e-6);
  EXPECT_NEAR(cut.visits.most, 1, 1e-5);
}

TEST(LoadTest, AgreesWithSampledLoads) {
  Random random(3);
  const RoutingLoad cases[] = {{.device_cv = 0.3},
                               {.device_cv = 0.3, .capacity_factor = 1.0},
                               {.device_cv = 0.3, .capacity_factor = 1.0, .never_dropped = 0.1},
                               {.device_cv = 0.5, .capacity_factor = 1.25, .never_dropped = 0.7},
                               {.device_cv = 2, .capacity_factor = 0.1}};
  for (const RoutingLoad& routing : cases) {
    constexpr int kDevices = 8, kRounds = 40000;
    const double sigma = std::sqrt(std::log1p(routing.device_cv * routing.device_cv));
    double kept = 0, slowest = 0;
    for (int r = 0; r < kRounds; ++r) {
      double most = 0;
      for (int d = 0; d < kDevices; ++d) {
        double x = std::exp(sigma * random.Normal() - sigma * sigma / 2);
        if (routing.capacity_factor && x > *routing.capacity_factor)
          x = std::max(*routing.capacity_factor, x * routing.never_dropped);
        kept += x;
        most = std::max(most, x);
      }
      slowest += most;
    }
    const ExpertLoad load = LoadOf(routing, kDevices);
    EXPECT_NEAR(load.visits.mean, kept / kRounds / kDevices, 0.005) << routing.device_cv;
    EXPECT_NEAR(load.visits.most, slowest / kRounds, 0.01) << routing.device_cv;
  }
}

TEST(LoadTest, KeptIsAPartOfTheTokensAndTheSlowestDeviceHasAtLeastTheMean) {
  Random random(11);
  for (int i = 0; i < 300; ++i) {
    RoutingLoad routing{.device_cv = 2 * random.Uniform(), .never_dropped = random.Uniform()};
    if (random.Below(4) > 0) routing.capacity_factor = 0.1 + 3 * random.Uniform();
    const ExpertLoad load = LoadOf(routing, 1 + static_cast<int>(random.Below(64)));
    EXPECT_GT(load.visits.mean, 0);
    EXPECT_LE(load.visits.mean, 1 + 1e-9);
    EXPECT_GE(load.visits.most, load.visits.mean - 1e-9);
    if (routing.capacity_factor && routing.never_dropped == 0) {
      EXPECT_LE(load.visits.most, *routing.capacity_factor + 1e-9);
    }
  }
}

}  // namespace
}  // namespace moecast
