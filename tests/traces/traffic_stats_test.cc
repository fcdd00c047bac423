#include "traces/traffic_stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace moecast {
namespace {

constexpr Time kSecond{1'000'000'000'000};

TEST(TrafficStatsTest, RatesAndLengthsAreThoseOfTheTrace) {
  // Gaps of 1, 2 and 3 s: mean 2, variance 2/3.
  const RequestTrace trace{.file = "t",
                           .requests = {{kSecond * 5, 10, 4},
                                        {kSecond * 6, 20, 3},
                                        {kSecond * 8, 30, 2},
                                        {kSecond * 11, 100, 1}},
                           .left_out = 3};
  const TrafficStats s = StatsOf(trace);
  EXPECT_EQ(s.requests, 4);
  EXPECT_EQ(s.left_out, 3);
  ASSERT_TRUE(s.arrivals);
  EXPECT_DOUBLE_EQ(s.arrivals->duration_s, 6);
  EXPECT_DOUBLE_EQ(s.arrivals->rate, 0.5);
  EXPECT_DOUBLE_EQ(s.arrivals->gap_cv, std::sqrt(2.0 / 3) / 2);
  EXPECT_FALSE(s.arrivals->dispersion_10s);
  EXPECT_DOUBLE_EQ(s.input.mean, 40);
  EXPECT_DOUBLE_EQ(s.input.median, 25);
  EXPECT_DOUBLE_EQ(s.input.p10, 13);    // 0.3 of the way from 10 to 20
  EXPECT_DOUBLE_EQ(s.input.p90, 79);    // 0.7 of the way from 30 to 100
  EXPECT_DOUBLE_EQ(s.input.p99, 97.9);  // 0.97 of it
  EXPECT_DOUBLE_EQ(s.input.max, 100);
  EXPECT_DOUBLE_EQ(*s.correlation, -1);
  EXPECT_FALSE(s.prefixes);
  // Half a second each: requests in the 1st, 3rd, 7th and 12th.
  ASSERT_EQ(s.arrivals->rates.size(), 12u);
  for (size_t i = 0; i < 12; ++i)
    EXPECT_NEAR(s.arrivals->rates[i], i == 0 || i == 2 || i == 6 || i == 11 ? 2 : 0, 1e-9) << i;
}

TEST(TrafficStatsTest, WhatHasNoTimesHasNoRates) {
  RequestTrace trace{.file = "t", .requests = {{{}, 10, 4}, {kSecond, 10, 4}}, .timed = false};
  EXPECT_FALSE(StatsOf(trace).arrivals);
  EXPECT_FALSE(StatsOf(trace).correlation);  // constant
  trace.timed = true;
  EXPECT_TRUE(StatsOf(trace).arrivals);
  trace.requests[1].arrival = {};
  EXPECT_FALSE(StatsOf(trace).arrivals);
}

TEST(TrafficStatsTest, DispersionIsVarianceOverMeanOfWholeWindows) {
  // 20 windows of 10 s with 1 and 3 requests in turn: mean 2, variance 1.
  RequestTrace trace{.file = "t"};
  for (int i = 0; i < 20; ++i)
    for (int k = 0; k < (i % 2 == 0 ? 1 : 3); ++k)
      trace.requests.push_back({kSecond * (10 * i + k), 1 + i, 1});
  trace.requests.push_back({kSecond * 209, 1, 1});  // in a window that is not whole
  EXPECT_DOUBLE_EQ(*StatsOf(trace).arrivals->dispersion_10s, 0.5);
  EXPECT_FALSE(StatsOf(trace).arrivals->dispersion_60s);
}

TEST(TrafficStatsTest, SpearmanTakesTheMeanRankOfEquals) {
  // Ranks 0.5, 0.5, 2, 3 against 0, 1, 2, 3: covariance 1.125, variances 1.125 and 1.25.
  const RequestTrace trace{
      .file = "t", .requests = {{{}, 7, 1}, {kSecond, 7, 2}, {kSecond, 8, 30}, {kSecond, 9, 400}}};
  EXPECT_NEAR(*StatsOf(trace).correlation, 1.125 / std::sqrt(1.125 * 1.25), 1e-12);
}

TEST(TrafficStatsTest, APrefixHitEndsAtTheFirstNewBlockAndAtThePromptsEnd) {
  const RequestTrace trace{.file = "t",
                           .requests = {{{}, 250, 1, 0, 3},        // all new
                                        {kSecond, 250, 1, 0, 3},   // all 250 known
                                        {kSecond, 400, 1, 3, 4},   // 200 known, then 9, then 3
                                        {kSecond, 100, 1, 7, 1}},  // none
                           .hash_ids = {1, 2, 3, 1, 2, 9, 3, 5},
                           .block_tokens = 100};
  const TrafficStats s = StatsOf(trace);
  ASSERT_TRUE(s.prefixes);
  EXPECT_DOUBLE_EQ(s.prefixes->hit_rate, 450.0 / 1000);
  EXPECT_EQ(s.prefixes->blocks, 11);
  EXPECT_EQ(s.prefixes->distinct_blocks, 5);
  EXPECT_DOUBLE_EQ(s.prefixes->hit_tokens.mean, 112.5);
  EXPECT_DOUBLE_EQ(s.prefixes->hit_tokens.max, 250);
}

TEST(TrafficStatsTest, TheLargestDifferenceIsKolmogorovsAndSmirnovs) {
  EXPECT_DOUBLE_EQ(LargestDifference({1, 2, 3, 4}, {1, 2, 3, 4}), 0);
  EXPECT_DOUBLE_EQ(LargestDifference({1, 2, 3, 4}, {5, 6}), 1);
  EXPECT_DOUBLE_EQ(LargestDifference({1, 2, 3, 4}, {2, 2, 3, 9}), 0.25);
  EXPECT_DOUBLE_EQ(LargestDifference({4, 1, 1, 1}, {1, 9, 9, 9}), 0.75);
  // Against all points of the distribution functions.
  Random random(3);
  for (int n = 0; n < 50; ++n) {
    std::vector<double> a(1 + random.Below(9)), b(1 + random.Below(9));
    for (double& x : a) x = static_cast<double>(random.Below(6));
    for (double& x : b) x = static_cast<double>(random.Below(6));
    const auto share = [](const std::vector<double>& of, double to) {
      double count = 0;
      for (const double x : of) count += x <= to;
      return count / static_cast<double>(of.size());
    };
    double most = 0;
    for (int to = 0; to < 6; ++to) most = std::max(most, std::fabs(share(a, to) - share(b, to)));
    EXPECT_NEAR(LargestDifference(a, b), most, 1e-12);
  }
}

}  // namespace
}  // namespace moecast
