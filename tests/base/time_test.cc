#include "base/time.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/random.h"

namespace moecast {
namespace {

TEST(TimeTest, SecondsRoundToTheNearestPicosecond) {
  EXPECT_EQ(Time::From(Seconds(0)).ps, 0);
  EXPECT_EQ(Time::From(Seconds(1)).ps, 1'000'000'000'000);
  EXPECT_EQ(Time::From(Microseconds(18.5)).ps, 18'500'000);
  EXPECT_EQ(Time::From(Seconds(0.4e-12)).ps, 0);
  EXPECT_EQ(Time::From(Seconds(0.6e-12)).ps, 1);
}

TEST(TimeTest, SumsDoNotDependOnTheirOrder) {
  Random random(1);
  Time forward{}, backward{};
  std::vector<Time> parts;
  for (int i = 0; i < 1000; ++i) parts.push_back(Time::From(Seconds(random.Uniform())));
  for (size_t i = 0; i < parts.size(); ++i) {
    forward += parts[i];
    backward += parts[parts.size() - 1 - i];
  }
  EXPECT_EQ(forward, backward);
}

TEST(TimeTest, NeverIsLaterThanEverySecondThatFits) {
  EXPECT_GT(kNever, Time::From(Seconds(9.1e6)));
  EXPECT_EQ(Time{3} * 4 - Time{2}, Time{10});
}

TEST(TimeTest, SecondsComeBackWithinHalfAPicosecondAndADoublesRounding) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    const double s = random.Uniform() * 1000;
    EXPECT_NEAR(Time::From(Seconds(s)).seconds().value, s, 0.5e-12 + s * 4e-16);
  }
}

TEST(TimeDeathTest, NegativeHugeOrUndefinedSecondsAreOurDefect) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(Time::From(Seconds(-1)), "check failed");
  EXPECT_DEATH(Time::From(Seconds(1e7)), "check failed");
  EXPECT_DEATH(Time::From(Seconds(std::numeric_limits<double>::quiet_NaN())), "check failed");
}

}  // namespace
}  // namespace moecast
