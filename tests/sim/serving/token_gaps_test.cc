#include "sim/serving/token_gaps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace moecast {
namespace {

// Sums and counts are exact, quantiles within a bucket's width of those of the sorted list: 2^-9.
TEST(TokenGapsTest, QuantilesAreThoseOfTheListWithinABucket) {
  Random random(3);
  TokenGaps gaps, rest;
  std::vector<double> list;
  double sum = 0;
  for (int i = 0; i < 2000; ++i) {
    const Time gap{static_cast<int64_t>(std::exp(std::log(1e7) + random.Uniform() * 16))};
    const int64_t count = 1 + static_cast<int64_t>(random.Below(50));
    (i % 2 == 0 ? gaps : rest).Add(gap, count);
    list.insert(list.end(), static_cast<size_t>(count), gap.seconds().value);
    sum += gap.seconds().value * static_cast<double>(count);
  }
  gaps.Add(rest);
  std::sort(list.begin(), list.end());
  EXPECT_EQ(gaps.count(), static_cast<int64_t>(list.size()));
  EXPECT_NEAR(gaps.sum().value / sum, 1, 1e-12);
  for (const double part : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const auto at = static_cast<size_t>(std::ceil(part * static_cast<double>(list.size()))) - 1;
    EXPECT_NEAR(gaps.Quantile(part).value / list[at], 1, 1.0 / 512) << part;
  }
}

TEST(TokenGapsTest, OneLengthIsItself) {
  TokenGaps gaps;
  EXPECT_EQ(gaps.Quantile(0.5).value, 0);
  gaps.Add(Time{123456789}, 7);
  EXPECT_DOUBLE_EQ(gaps.Quantile(0.99).value, 123456789e-12);
  gaps.Add(Time{1}, 1);  // fewer picoseconds than buckets to a doubling
  EXPECT_DOUBLE_EQ(gaps.Quantile(0.1).value, 1e-12);
}

}  // namespace
}  // namespace moecast
