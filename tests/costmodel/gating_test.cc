#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string_view>

#include "base/random.h"
#include "costmodel/gating/dropping.h"
#include "costmodel/gating/four.h"
#include "costmodel/gating/gate.h"

namespace moecast {
namespace {

using Experts = std::vector<uint16_t>;

Experts ExpertsOf(const Choices& c, size_t token) {
  const auto experts = c.ExpertsOf(token);
  return {experts.begin(), experts.end()};
}
Choices Chosen(const Gate& gate, std::vector<float> affinities, std::vector<float> bias = {}) {
  Choices choices;
  Choose(gate, affinities, bias, choices);
  return choices;
}

TEST(FourTest, ExpAndLogAreTheLibrarysToTheErrorTheyState) {
  Random random(1);
  double exp_error = 0, far_exp_error = 0, log_error = 0;
  for (int i = 0; i < 100000; ++i) {
    const auto near = static_cast<float>(32 * random.Uniform() - 16);
    exp_error = std::max(exp_error, std::fabs(Exp(Fill(near))[0] / std::exp(double{near}) - 1));
    const auto far = static_cast<float>(-87 * random.Uniform());
    far_exp_error =
        std::max(far_exp_error, std::fabs(Exp(Fill(far))[1] / std::exp(double{far}) - 1));
    const auto x = static_cast<float>(std::exp(40 * random.Uniform() - 20));
    log_error = std::max(log_error, std::fabs(Log(Fill(x))[2] - std::log(double{x})));
  }
  EXPECT_LT(exp_error, 1e-6);
  EXPECT_LT(far_exp_error, 4e-6);
  EXPECT_LT(log_error, 2e-6);
  EXPECT_EQ(Exp(Fill(0))[3], 1);
  EXPECT_EQ(Log(Fill(1))[0], 0);
  EXPECT_GT(Exp(Fill(-1e30f))[0], 0);
}

// Odds 1 : 2 : 3 : 4.
std::vector<float> Logits() {
  std::vector<float> z;
  for (const double odds : {1.0, 2.0, 3.0, 4.0}) z.push_back(static_cast<float>(std::log(odds)));
  return z;
}

TEST(GateTest, SoftmaxOfOddsIsTheirPartOfTheSumAndSigmoidTheOddsOverOneMore) {
  std::vector<float> softmax = Logits(), sigmoid = Logits();
  ToAffinities(kSoftmaxScoring, 4, softmax, softmax);
  ToAffinities(kSigmoidScoring, 4, sigmoid, sigmoid);
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(softmax[i], 0.1 * (i + 1), 1e-6);
    EXPECT_NEAR(sigmoid[i], (i + 1.0) / (i + 2.0), 1e-6);
  }
}

TEST(GateTest, AffinitiesOfAnyNumberOfExpertsAreTheLibrarysFromLogitsAndFromOdds) {
  Random random(5);
  for (const int experts : {1, 3, 7, 8, 9, 16, 61, 160}) {
    std::vector<float> logits, odds;
    for (int i = 0; i < 3 * experts; ++i) {
      logits.push_back(static_cast<float>(40 * random.Uniform() - 20));
      odds.push_back(std::exp(logits.back()));
    }
    for (const Scoring* scoring : Scorings()) {
      std::vector<float> affinities(logits.size()), from_odds = odds;
      ToAffinities(*scoring, experts, logits, affinities);
      OddsToAffinities(*scoring, experts, from_odds);
      for (int t = 0; t < 3; ++t) {
        double sum = 0;
        for (int i = 0; i < experts; ++i) sum += std::exp(double{logits[t * experts + i]});
        for (int i = 0; i < experts; ++i) {
          const double e = std::exp(double{logits[t * experts + i]});
          const double expected = scoring == &kSoftmaxScoring ? e / sum : e / (1 + e);
          EXPECT_NEAR(affinities[t * experts + i], expected, 5e-6 * expected) << experts;
          EXPECT_NEAR(from_odds[t * experts + i], expected, 5e-6 * expected) << experts;
        }
      }
    }
  }
}

TEST(GateTest, TheGreatestLogitsAllowedMakeFiniteAffinities) {
  std::vector<float> most(65535, 75.0f), low(160, -1000.0f);
  ToAffinities(kSoftmaxScoring, 65535, most, most);
  EXPECT_NEAR(most.back(), 1.0 / 65535, 1e-8);
  ToAffinities(kSoftmaxScoring, 160, low, low);
  EXPECT_NEAR(low.back(), 1.0 / 160, 1e-7);
}

TEST(GateTest, TopTwoOfFourExpertsWithTheirWeights) {
  Gate gate{.experts = 4, .top_k = 2};
  const Choices c = Chosen(gate, {0.1f, 0.2f, 0.3f, 0.4f, 0.3f, 0.4f, 0.1f, 0.2f});
  EXPECT_EQ(ExpertsOf(c, 0), (Experts{3, 2}));
  EXPECT_EQ(ExpertsOf(c, 1), (Experts{1, 0}));
  EXPECT_EQ(WeightsOf(gate, c), (std::vector<float>{0.4f, 0.3f, 0.4f, 0.3f}));
  gate.normalize = true;
  gate.scaling = 2.5;
  EXPECT_NEAR(WeightsOf(gate, c)[0], 2.5 * 4 / 7, 1e-6);
  EXPECT_NEAR(WeightsOf(gate, c)[1], 2.5 * 3 / 7, 1e-6);
}

TEST(GateTest, GroupsAreTakenByTheirBestExpertOrBySumOfTheirTwoBest) {
  // Groups {0, 1} and {2, 3}: best 0.4 against 0.3, two best 0.45 against 0.55.
  const std::vector<float> affinities = {0.4f, 0.05f, 0.3f, 0.25f};
  Gate gate{.experts = 4, .top_k = 2, .groups = 2, .top_groups = 1};
  EXPECT_EQ(ExpertsOf(Chosen(gate, affinities), 0), (Experts{0, 1}));
  gate.method = &kNoAuxTopK;
  EXPECT_EQ(ExpertsOf(Chosen(gate, affinities), 0), (Experts{2, 3}));
}

TEST(GateTest, TheBiasChoosesAndIsNotInTheWeight) {
  // Scores 0.4, 0.3, 0.2, 0.35.
  const Gate gate{.experts = 4, .top_k = 2, .normalize = true};
  const Choices c = Chosen(gate, {0.4f, 0.3f, 0.2f, 0.1f}, {0, 0, 0, 0.25f});
  EXPECT_EQ(ExpertsOf(c, 0), (Experts{0, 3}));
  EXPECT_NEAR(WeightsOf(gate, c)[0], 0.8, 1e-6);
  EXPECT_NEAR(WeightsOf(gate, c)[1], 0.2, 1e-6);
}

TEST(GateTest, OfEqualExpertsAndGroupsTheLowerIndexIsTaken) {
  const Gate plain{.experts = 4, .top_k = 2},
      grouped{.experts = 4, .top_k = 1, .groups = 2, .top_groups = 1};
  EXPECT_EQ(ExpertsOf(Chosen(plain, {0.25f, 0.25f, 0.25f, 0.25f}), 0), (Experts{0, 1}));
  EXPECT_EQ(ExpertsOf(Chosen(plain, {0.1f, 0.3f, 0.3f, 0.3f}), 0), (Experts{1, 2}));
  EXPECT_EQ(ExpertsOf(Chosen(grouped, {0.2f, 0.3f, 0.3f, 0.2f}), 0), (Experts{1}));
  // -0 and 0 are equal.
  EXPECT_EQ(ExpertsOf(Chosen(plain, {-0.0f, 0.0f, 0, 0}), 0), (Experts{0, 1}));
}

TEST(GateTest, TopPTakesExpertsUntilTheirPartOfTheAffinityIsReached) {
  const std::vector<float> affinities = {0.1f, 0.4f, 0.2f, 0.3f};
  const auto experts = [&](double p) {
    return ExpertsOf(Chosen({.experts = 4, .top_k = 1, .top_p = p}, affinities), 0);
  };
  EXPECT_EQ(experts(0.01), (Experts{1}));
  EXPECT_EQ(experts(0.39), (Experts{1}));
  EXPECT_EQ(experts(0.41), (Experts{1, 3}));
  EXPECT_EQ(experts(0.89), (Experts{1, 3, 2}));
  EXPECT_EQ(experts(0.95), (Experts{1, 3, 2, 0}));
  // The number differs from token to token, and it is a part of the sum: 8 of 10.
  const Choices two =
      Chosen({.experts = 4, .top_k = 1, .top_p = 0.7}, {8, 1, 0.5f, 0.5f, 3, 3, 3, 1});
  EXPECT_EQ(ExpertsOf(two, 0), (Experts{0}));
  EXPECT_EQ(ExpertsOf(two, 1), (Experts{0, 1, 2}));
  // Candidates of the groups taken, where these do not reach it.
  EXPECT_EQ(ExpertsOf(Chosen({.experts = 4, .top_k = 1, .groups = 2, .top_groups = 1, .top_p = 1},
                             affinities),
                      0),
            (Experts{1, 0}));
}

TEST(GateTest, TheModelsFieldsMakeItsGate) {
  const Gate v3 = GateOf({.experts = 256,
                          .top_k = 8,
                          .groups = 8,
                          .top_groups = 4,
                          .scoring = &kSigmoidScoring,
                          .normalize_top_k = true,
                          .scaling_factor = 2.5,
                          .method = &kNoAuxTopK});
  EXPECT_EQ(v3, (Gate{.experts = 256,
                      .top_k = 8,
                      .groups = 8,
                      .top_groups = 4,
                      .method = &kNoAuxTopK,
                      .scoring = &kSigmoidScoring,
                      .normalize = true,
                      .scaling = 2.5}));
  EXPECT_EQ(GateOf({.experts = 64, .top_k = 6}), (Gate{.experts = 64, .top_k = 6}));
}

// Groups {0, 1} and {2, 3}; a group of one has no second best.
TEST(TopKMethodTest, RowsScoreGroupsByTheirBestOrTheirTwoBest) {
  const float scores[] = {0.5f, 0.125f, 0.25f, 0.375f};
  std::set<std::string_view> names;
  for (const TopKMethod* method : TopKMethods()) {
    EXPECT_TRUE(names.insert(method->name).second) << method->name;
    EXPECT_FALSE(method->help.empty()) << method->name;
    const bool two = method->scored_experts == 2;
    float out[4];
    method->group_scores(scores, 2, 2, out);
    EXPECT_EQ(out[0], two ? 0.625f : 0.5f) << method->name;
    EXPECT_EQ(out[1], two ? 0.625f : 0.375f) << method->name;
    method->group_scores(scores, 4, 1, out);
    for (int g = 0; g < 4; ++g) EXPECT_EQ(out[g], scores[g]) << method->name;
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"greedy", "group_limited_greedy", "noaux_tc"}));
}

// Logits far beyond what affinities take come within reach without changing which is greater, and
// the slope of an affinity's logarithm is its difference quotient: softmax's sum left out, exp(z)
// itself.
TEST(ScoringTest, RowsTakeLogitsWithinReachAndKnowTheirSlope) {
  std::set<std::string_view> names;
  for (const Scoring* scoring : Scorings()) {
    EXPECT_TRUE(names.insert(scoring->name).second) << scoring->name;
    EXPECT_FALSE(scoring->help.empty()) << scoring->name;
    float logits[] = {300, 100, -200};
    scoring->within_reach(logits, 3);
    float affinities[3];
    scoring->affinities(logits, 3, affinities);
    EXPECT_NEAR(affinities[0], 1, 1e-6) << scoring->name;
    EXPECT_GE(affinities[0], affinities[1]) << scoring->name;
    EXPECT_GE(affinities[1], affinities[2]) << scoring->name;
    EXPECT_GE(affinities[2], 0) << scoring->name;
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"softmax", "sigmoid"}));
  EXPECT_EQ(kSoftmaxScoring.log_slope(0.25f), 1);
  EXPECT_EQ(kSigmoidScoring.log_slope(0.25f), 0.75f);
}

// The rules of gate.h, word by word.
Experts SlowChoice(const Gate& g, const float* affinity, const std::vector<float>& bias) {
  std::vector<float> score(affinity, affinity + g.experts);
  for (size_t i = 0; i < bias.size(); ++i) score[i] += bias[i];
  const auto best_first = [](std::vector<int>& items, const std::vector<float>& by) {
    std::stable_sort(items.begin(), items.end(), [&](int a, int b) { return by[a] > by[b]; });
  };
  std::vector<int> groups(g.groups), candidates;
  std::iota(groups.begin(), groups.end(), 0);
  std::vector<float> group_score;
  for (const int group : groups) {
    std::vector<float> members(score.begin() + group * g.group_size(),
                               score.begin() + (group + 1) * g.group_size());
    std::sort(members.rbegin(), members.rend());
    const bool two = g.method == &kNoAuxTopK && members.size() > 1;
    group_score.push_back(two ? members[0] + members[1] : members[0]);
  }
  best_first(groups, group_score);
  for (int i = 0; i < g.top_groups; ++i)
    for (int e = 0; e < g.group_size(); ++e) candidates.push_back(groups[i] * g.group_size() + e);
  std::sort(candidates.begin(), candidates.end());
  best_first(candidates, score);
  Experts chosen(candidates.begin(), candidates.begin() + g.top_k);
  return chosen;
}

TEST(GatePropertyTest, ChoicesAreThoseOfSortingEverything) {
  Random random(7);
  for (int round = 0; round < 400; ++round) {
    const int groups = 1 + static_cast<int>(random.Below(8));
    const int size = 1 + static_cast<int>(random.Below(40));
    const int top_groups = 1 + static_cast<int>(random.Below(groups));
    const Gate gate{.experts = groups * size,
                    .top_k = 1 + static_cast<int>(random.Below(std::min(30, top_groups * size))),
                    .groups = groups,
                    .top_groups = top_groups,
                    .method = random.Below(2) == 0 ? &kGroupLimitedTopK : &kNoAuxTopK};
    // Eighths make ties, and sums of them are exact.
    const double steps = random.Below(2) == 0 ? 8 : 1 << 20;
    const auto number = [&] {
      return static_cast<float>(std::floor(random.Uniform() * steps) / steps);
    };
    std::vector<float> affinities(static_cast<size_t>(gate.experts) * 5), bias;
    for (float& a : affinities) a = number();
    if (random.Below(2) == 0)
      for (int e = 0; e < gate.experts; ++e) bias.push_back(number() - 0.5f);
    const Choices c = Chosen(gate, affinities, bias);
    ASSERT_EQ(c.tokens(), 5u);
    for (size_t t = 0; t < 5; ++t) {
      const float* token = affinities.data() + t * gate.experts;
      const Experts expected = SlowChoice(gate, token, bias);
      ASSERT_EQ(ExpertsOf(c, t), expected) << "round " << round;
      for (size_t k = 0; k < expected.size(); ++k)
        ASSERT_EQ(c.AffinitiesOf(t)[k], token[expected[k]]);
    }
  }
}

// Token t goes to one expert.
Choices OneEach(const Experts& experts, const std::vector<float>& affinities) {
  Choices c;
  for (size_t t = 0; t < experts.size(); ++t) {
    c.expert.push_back(experts[t]);
    c.affinity.push_back(affinities[t]);
    c.begin.push_back(static_cast<uint32_t>(t + 1));
  }
  return c;
}

TEST(DroppingTest, TheLowestAffinitiesOfADeviceAboveItsCapacityGo) {
  // Experts {0, 1} and {2, 3} on two devices: four visits, two each. The first device has three.
  const Choices c = OneEach({0, 1, 0, 2}, {0.5f, 0.2f, 0.3f, 0.1f});
  const std::vector<bool> nobody(4, false);
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 1.0, nobody), (std::vector<bool>{false, true, false, false}));
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 0.5, nobody), (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 1.5, nobody), nobody);
  const Choices left = Without(c, VisitsToDrop(c, 4, 2, 1.0, nobody));
  EXPECT_EQ(left.tokens(), 4u);
  EXPECT_EQ(left.expert, (Experts{0, 0, 2}));
  EXPECT_TRUE(left.ExpertsOf(1).empty());
}

TEST(DroppingTest, ProtectedTokensStayAlsoAboveTheCapacity) {
  const Choices c = OneEach({0, 1, 0, 2}, {0.5f, 0.2f, 0.3f, 0.1f});
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 1.0, {false, true, false, false}),
            (std::vector<bool>{false, false, true, false}));
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 1.0, {true, true, true, false}), std::vector<bool>(4, false));
}

TEST(DroppingTest, OfEqualAffinitiesTheLaterVisitGoes) {
  const Choices c = OneEach({0, 1, 0, 2}, {0.5f, 0.5f, 0.5f, 0.5f});
  EXPECT_EQ(VisitsToDrop(c, 4, 2, 1.0, std::vector<bool>(4)),
            (std::vector<bool>{false, false, true, false}));
}

TEST(DroppingTest, ATenthOfTheSequencesIsEveryTenth) {
  int kept = 0;
  for (int s = 0; s < 1000; ++s) {
    kept += IsProtected(s, 0.1);
    EXPECT_FALSE(IsProtected(s, 0));
    EXPECT_TRUE(IsProtected(s, 1));
  }
  EXPECT_NEAR(kept, 100, 1);
}

TEST(DroppingPropertyTest, WhatStaysFitsOrIsProtectedAndNothingBelowItStays) {
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    const int devices = 1 << random.Below(4),
              experts = devices * (1 + static_cast<int>(random.Below(6)));
    const double factor = 0.3 + 1.5 * random.Uniform();
    Experts chosen;
    std::vector<float> affinities;
    std::vector<bool> stays;
    for (int t = 0; t < 200; ++t) {
      chosen.push_back(static_cast<uint16_t>(random.Below(1 + random.Below(experts))));
      affinities.push_back(static_cast<float>(random.Uniform()));
      stays.push_back(random.Below(5) == 0);
    }
    const auto dropped = VisitsToDrop(OneEach(chosen, affinities), experts, devices, factor, stays);
    for (int d = 0; d < devices; ++d) {
      int all = 0, left = 0, safe = 0;
      float most_dropped = -1, least_left = 2;
      for (size_t t = 0; t < chosen.size(); ++t) {
        if (chosen[t] / (experts / devices) != d) continue;
        ++all;
        left += !dropped[t];
        safe += stays[t];
        ASSERT_FALSE(dropped[t] && stays[t]);
        if (dropped[t]) most_dropped = std::max(most_dropped, affinities[t]);
        if (!dropped[t] && !stays[t]) least_left = std::min(least_left, affinities[t]);
      }
      const int capacity = static_cast<int>(factor * 200 / devices);
      EXPECT_EQ(left, std::min(all, std::max(capacity, safe)));
      EXPECT_LE(most_dropped, least_left);
    }
  }
}

}  // namespace
}  // namespace moecast
