#include "costmodel/phase.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace moecast {
namespace {

TrainingPhase PhaseOf(double tokens, int64_t length, int64_t from, int64_t to) {
  return {.tokens = Count(tokens),
          .sequence_length = length,
          .global_batch = to,
          .global_batch_from = from};
}

std::vector<int64_t> Multiples(int64_t from, int64_t to, int64_t of) {
  std::vector<int64_t> batches;
  for (int64_t b = from; b <= to; b += of) batches.push_back(b);
  return batches;
}

double StepsOf(const std::vector<BatchSteps>& all) {
  double sum = 0;
  for (const BatchSteps& b : all) sum += b.steps;
  return sum;
}

TEST(PhaseTest, TokensAreGivenOrFollowFromStepsOrSequences) {
  EXPECT_EQ(TokensOf({.tokens = Count(5e9)}).value, 5e9);
  // 1,000 steps of 576 rows of 32,768 tokens.
  EXPECT_EQ(TokensOf({.steps = 1000, .sequence_length = 32768, .global_batch = 576}).value,
            1000.0 * 576 * 32768);
  EXPECT_EQ(TokensOf({.sequences = Count(3e6), .mean_length = 700.0}).value, 2.1e9);
  EXPECT_EQ(TokensOf({.sequences = Count(1000), .sequence_length = 4096}).value, 4096e3);
}

TEST(PhaseTest, WithoutARampTheLastStepMayBeAPart) {
  const TrainingPhase phase{.tokens = Count(35), .sequence_length = 2, .global_batch = 5};
  const std::vector<int64_t> batches = {5};
  const std::vector<BatchSteps> all = StepsByBatch(phase, batches);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].steps, 3.5);
}

TEST(PhaseTest, StepsOfASmallRampByHand) {
  // From 2 to 6 over 40 tokens: the line is nearest to 2 until it reaches 3, at 10 tokens: 5 steps.
  // Then to 4 until it reaches 5, at 30: 5 steps. The last 10 tokens are 1 2/3 steps of 6.
  const std::vector<BatchSteps> all = StepsByBatch(PhaseOf(40, 1, 2, 6), Multiples(2, 6, 2));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].steps, 5);
  EXPECT_EQ(all[1].steps, 5);
  EXPECT_DOUBLE_EQ(all[2].steps, 5.0 / 3);
}

TEST(PhaseTest, StepsOfV2sRampAreTheIntegralOfOneOverTheBatch) {
  // Batch b0 + (b1 - b0) x / X: steps = X / length * ln(b1 / b0) / (b1 - b0) = 225e9 / 4096 ln 4 /
  // 6912.
  const double expected = 225e9 / 4096 * std::log(4.0) / 6912;
  EXPECT_NEAR(expected, 11017.2, 0.1);
  // Of the first multiple only the half above the first batch is on the line, of the last the half
  // below: off by (multiple / b0)^2 / 8 at most. Steps follow the line at their first token, half a
  // step late.
  for (const int64_t multiple : {64, 128, 384}) {
    const double part = static_cast<double>(multiple) / 2304;
    const double steps =
        StepsOf(StepsByBatch(PhaseOf(225e9, 4096, 2304, 9216), Multiples(2304, 9216, multiple)));
    EXPECT_NEAR(steps / expected, 1, part * part / 8 + 1e-4) << multiple;
  }
}

TEST(PhaseTest, StepsOfEveryRampHoldItsTokens) {
  Random rng(3);
  for (int i = 0; i < 500; ++i) {
    const int64_t multiple = 1 + static_cast<int64_t>(rng.Below(100));
    const int64_t from = multiple * (1 + static_cast<int64_t>(rng.Below(50)));
    const int64_t to = from + multiple * static_cast<int64_t>(rng.Below(50));
    const int64_t length = 1 + static_cast<int64_t>(rng.Below(5000));
    const double tokens = 1 + static_cast<double>(rng.Below(uint64_t{1} << 40));
    double sum = 0, last = 0;
    int parts = 0;
    for (const BatchSteps& b :
         StepsByBatch(PhaseOf(tokens, length, from, to), Multiples(from, to, multiple))) {
      sum += b.steps * static_cast<double>(b.global_batch * length);
      EXPECT_GT(b.steps, 0);
      EXPECT_GT(static_cast<double>(b.global_batch), last);
      last = static_cast<double>(b.global_batch);
      parts += b.steps != std::floor(b.steps);
    }
    EXPECT_NEAR(sum / tokens, 1, 1e-12);
    EXPECT_LE(parts, 1);
  }
}

}  // namespace
}  // namespace moecast
