#include "sim/routing/balance.h"

#include <gtest/gtest.h>

#include <cmath>

namespace moecast {
namespace {

constexpr Moe kV2{.experts = 160, .top_k = 6, .groups = 8, .top_groups = 3};
constexpr auto kExpert = BalanceLoss::kExpert, kDevice = BalanceLoss::kDevice,
               kCommunication = BalanceLoss::kCommunication;

RoutingSetup SetupOf(const Moe& moe, const TokenMix& mix) {
  return {.gate = GateOf(moe),
          .load = {.tokens = mix},
          .length = 512,
          .spread = {.ranks = 8, .ranks_per_node = 8}};
}
constexpr TokenMix kSkewed{.distribution = TokenDistribution::kZipf, .zipf_exponent = 1};

// Odds of four experts on two devices as logits.
std::vector<float> Odds(std::initializer_list<double> odds) {
  std::vector<float> logits;
  for (const double o : odds) logits.push_back(static_cast<float>(std::log(o)));
  return logits;
}

TEST(SlowBalanceTest, LossesOfTwoTokensWorkedByHand) {
  // s = (.4 .3 .2 .1) and (.1 .6 .2 .1), top 2: experts {0, 1} and {1, 2}. P = (.25 .45 .2 .1).
  // f = 4/(2 2) (1 2 1 0). Expert: .25 + .9 + .2 = 1.35.
  // Devices {0, 1} and {2, 3}: f' = 1.5 and .5, P' = .7 and .3: 1.05 + .15 = 1.2.
  // Sent: 2 and 1 tokens; M = 2 of 2 devices: f'' = 1 and .5: .7 + .15 = .85.
  const RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2, .groups = 2, .top_groups = 2}, {});
  const GatedBatch batch = GateBatch(setup, {0, 0}, Odds({4, 3, 2, 1, 1, 6, 2, 1}), {});
  const BalanceStep s = ImbalanceOf(setup, batch);
  EXPECT_NEAR(s.expert_loss, 0.003 * 1.35, 1e-8);
  EXPECT_NEAR(s.device_loss, 0.05 * 1.2, 1e-7);
  EXPECT_NEAR(s.communication_loss, 0.02 * 0.85, 1e-7);
  EXPECT_EQ(s.expert.max_over_mean(), 2);
  EXPECT_EQ(s.device.max_over_mean(), 1.5);
  EXPECT_EQ(s.communication.mean, 1.5);
}

TEST(SlowBalanceTest, LogitsThatStepsHaveCarriedFarStillChoose) {
  for (const Scoring* scoring : Scorings()) {
    const RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2, .scoring = scoring}, {});
    const GatedBatch batch = GateBatch(setup, {0}, {-5000, 9000, 30, 8999}, {});
    for (const float a : batch.affinities) EXPECT_TRUE(a >= 0 && a <= 1) << a;
    EXPECT_NEAR(batch.shares[0] + batch.shares[1] + batch.shares[2] + batch.shares[3], 1, 1e-6);
    EXPECT_EQ(batch.choices.ExpertsOf(0)[0], 1);
  }
}

TEST(SlowBalanceTest, EvenTokensLoseTheAlphas) {
  // f = 1 and P = 1/N give alpha; three of eight devices each, of which nearly all are reached: f''
  // = 0.99.
  const std::vector<BalanceStep> h = Balance(SetupOf(kV2, {}), {.tokens = 1 << 15}, 1);
  ASSERT_EQ(h.size(), 1u);
  EXPECT_NEAR(h[0].expert_loss, kExpertAlpha.value, 1e-5);
  EXPECT_NEAR(h[0].device_loss, kDeviceAlpha.value, 1e-4);
  EXPECT_NEAR(h[0].communication_loss, kCommunicationAlpha.value, 4e-4);
}

// The loss of a batch whose centroids move, the counts f held.
double LossWith(const RoutingSetup& setup, const std::vector<double>& w,
                const std::vector<uint16_t>& clusters, const std::vector<float>& logits,
                const std::vector<double>& moved) {
  const int n = setup.gate.experts;
  double loss = 0;
  for (size_t t = 0; t < clusters.size(); ++t) {
    double sum = 0, weighted = 0;
    for (int i = 0; i < n; ++i) {
      const double e = std::exp(logits[t * n + i] + moved[clusters[t] * n + i]);
      const double s = setup.gate.scoring == &kSoftmaxScoring ? e : e / (1 + e);
      sum += s;
      weighted += w[i] * s;
    }
    loss += weighted / sum / static_cast<double>(clusters.size());
  }
  return loss;
}

TEST(SlowBalanceTest, TheGradientIsThatOfTheLossWithCountsHeld) {
  for (const Scoring* scoring : Scorings()) {
    const RoutingSetup setup =
        SetupOf({.experts = 8, .top_k = 2, .groups = 4, .top_groups = 2, .scoring = scoring}, {});
    Random random(3);
    const int n = 8;
    const std::vector<uint16_t> clusters = {0, 1, 1, 0, 2, 1};
    std::vector<float> logits;
    for (size_t i = 0; i < clusters.size() * n; ++i)
      logits.push_back(static_cast<float>(random.Normal() - 0.1 * static_cast<double>(i % n)));
    const GatedBatch batch = GateBatch(setup, clusters, logits, {});
    // w from the losses' definition.
    std::vector<double> w(n);
    for (int i = 0; i < n; ++i) {
      double visits = 0, device = 0, sent = 0;
      for (size_t t = 0; t < clusters.size(); ++t) {
        int here = 0;
        for (const uint16_t e : batch.choices.ExpertsOf(t)) {
          visits += e == i;
          here += e / 2 == i / 2;
        }
        device += here;
        sent += here > 0;
      }
      w[i] = 0.003 * 8 / (2 * 6) * visits + 0.05 * 8 / (2 * 6) * device / 2 +
             0.02 * 4 / (2.0 * 6) * sent;
    }
    const auto gradient = CentroidGradient(setup, {kExpert, kDevice, kCommunication}, batch, 3);
    for (size_t j = 0; j < gradient.size(); ++j) {
      std::vector<double> up(3 * n), down(3 * n);
      up[j] = 1e-4;
      down[j] = -1e-4;
      const double slope =
          (LossWith(setup, w, clusters, logits, up) - LossWith(setup, w, clusters, logits, down)) /
          2e-4;
      EXPECT_NEAR(gradient[j], slope, 1e-7) << j;
    }
  }
}

TEST(SlowBalanceTest, EachLossEvensWhatItIsOf) {
  const RoutingSetup setup = SetupOf(kV2, kSkewed);
  const auto run = [&](std::vector<BalanceLoss> losses) {
    return Balance(setup, {.steps = 60, .tokens = 2048, .losses = std::move(losses), .rate = 0.05},
                   1);
  };
  const BalanceStep start = run({}).front();
  const BalanceStep none = run({}).back();
  const BalanceStep expert = run({kExpert}).back();
  const BalanceStep device = run({kDevice}).back();
  const BalanceStep sent = run({kCommunication}).back();
  EXPECT_NEAR(none.expert.cv, start.expert.cv, 0.05 * start.expert.cv);
  EXPECT_LT(expert.expert.cv, 0.4 * start.expert.cv);
  EXPECT_LT(device.device.cv, 0.4 * start.device.cv);
  EXPECT_LT(sent.communication.cv, 0.4 * start.communication.cv);
  // Devices can be even while their experts are not.
  EXPECT_GT(device.expert.cv, 0.7 * start.expert.cv);
}

TEST(SlowBalanceTest, AGradientStepMovesByTheRateTimesTheGradient) {
  const RoutingSetup setup = SetupOf(kV2, kSkewed);
  const auto cv_after = [&](double rate) {
    return Balance(setup,
                   {.steps = 30,
                    .tokens = 2048,
                    .losses = {kDevice},
                    .rule = StepRule::kGradient,
                    .rate = rate},
                   1)
        .back()
        .device.cv;
  };
  EXPECT_LT(cv_after(300), 0.8 * cv_after(0));
  EXPECT_LT(cv_after(1000), cv_after(100));
}

TEST(SlowBalanceTest, TheBiasEvensExpertsAndLeavesTheAffinities) {
  Moe moe = kV2;
  moe.scoring = &kSigmoidScoring;
  moe.method = &kNoAuxTopK;
  const RoutingSetup setup =
      SetupOf(moe, {.distribution = TokenDistribution::kZipf, .zipf_exponent = 0.3});
  const auto run = [&](double rate) {
    return Balance(setup, {.steps = 150, .tokens = 2048, .bias_rate = rate}, 1);
  };
  const auto off = run(0), on = run(0.002);
  EXPECT_EQ(on.front().expert.cv, off.front().expert.cv);
  EXPECT_LT(on.back().expert.cv, 0.5 * off.back().expert.cv);
}

}  // namespace
}  // namespace moecast
