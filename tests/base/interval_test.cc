#include "base/interval.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace moecast {
namespace {

TEST(IntervalTest, PercentilesInterpolateBetweenOrderStatistics) {
  // 11 samples 0..10: the 10th percentile sits at index 1, the median at 5, the 90th at 9.
  const Interval exact = IntervalOf({10, 0, 9, 1, 8, 2, 7, 3, 6, 4, 5});
  EXPECT_DOUBLE_EQ(exact.p10, 1);
  EXPECT_DOUBLE_EQ(exact.p50, 5);
  EXPECT_DOUBLE_EQ(exact.p90, 9);
  // 2 samples: a tenth, a half and nine tenths of the way.
  const Interval two = IntervalOf({20, 10});
  EXPECT_DOUBLE_EQ(two.p10, 11);
  EXPECT_DOUBLE_EQ(two.p50, 15);
  EXPECT_DOUBLE_EQ(two.p90, 19);
}

TEST(IntervalTest, OneSampleIsItsOwnInterval) {
  const Interval one = IntervalOf({3});
  EXPECT_EQ(one.p10, 3);
  EXPECT_EQ(one.p50, 3);
  EXPECT_EQ(one.p90, 3);
}

TEST(IntervalTest, ContainsFourFifthsOfASample) {
  Random random(4);
  std::vector<double> samples;
  for (int i = 0; i < 1001; ++i) samples.push_back(random.Normal());
  const Interval interval = IntervalOf(samples);
  int inside = 0;
  for (const double x : samples) inside += x >= interval.p10 && x <= interval.p90;
  EXPECT_EQ(inside, 801);  // order statistics 100 to 900 of 0 to 1000
  EXPECT_LT(interval.p10, interval.p50);
  EXPECT_LT(interval.p50, interval.p90);
}

}  // namespace
}  // namespace moecast
