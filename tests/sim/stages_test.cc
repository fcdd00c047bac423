#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/random.h"
#include "sim/training/layout.h"

namespace moecast {
namespace {

struct Goodness {
  int64_t slowest, squares;
  std::vector<int> layers;
};

// Among equals the one with most layers on the last stage, then on the one before, ...
bool Better(const Goodness& a, const Goodness& b) {
  if (std::tie(a.slowest, a.squares) != std::tie(b.slowest, b.squares))
    return std::tie(a.slowest, a.squares) < std::tie(b.slowest, b.squares);
  return std::lexicographical_compare(b.layers.rbegin(), b.layers.rend(), a.layers.rbegin(),
                                      a.layers.rend());
}

// All splits, in whole seconds so that ties are ties.
Goodness BestOfAll(const std::vector<int64_t>& times, int64_t first, int64_t last, int stages) {
  const int n = static_cast<int>(times.size());
  Goodness best{};
  std::vector<char> cut(static_cast<size_t>(n - 1), 0);
  std::fill(cut.end() - (stages - 1), cut.end(), 1);
  bool any = false;
  do {
    Goodness g{0, 0, {}};
    int64_t time = first;
    int layers = 0;
    for (int i = 0; i < n; ++i) {
      time += times[static_cast<size_t>(i)];
      ++layers;
      if (i + 1 < n && !cut[static_cast<size_t>(i)]) continue;
      if (i + 1 == n) time += last;
      g.slowest = std::max(g.slowest, time);
      g.squares += time * time;
      g.layers.push_back(layers);
      time = 0;
      layers = 0;
    }
    if (!any || Better(g, best)) best = g;
    any = true;
  } while (std::next_permutation(cut.begin(), cut.end()));
  return best;
}

Goodness GoodnessOf(const std::vector<int>& layers, const std::vector<int64_t>& times,
                    int64_t first, int64_t last) {
  Goodness g{0, 0, layers};
  size_t at = 0;
  for (size_t s = 0; s < layers.size(); ++s) {
    int64_t time = (s == 0 ? first : 0) + (s + 1 == layers.size() ? last : 0);
    for (int i = 0; i < layers[s]; ++i) time += times[at++];
    g.slowest = std::max(g.slowest, time);
    g.squares += time * time;
  }
  return g;
}

std::vector<int> Split(const std::vector<int64_t>& times, int64_t first, int64_t last, int stages) {
  std::vector<Seconds> seconds;
  for (const int64_t t : times) seconds.push_back(Seconds(static_cast<double>(t)));
  return BalancedSplit(seconds, Seconds(static_cast<double>(first)),
                       Seconds(static_cast<double>(last)), stages);
}

TEST(BalancedSplitTest, IsTheBestOfAllSplits) {
  Random random(4);
  for (int round = 0; round < 400; ++round) {
    const int n = 1 + static_cast<int>(random.Below(10)),
              stages = 1 + static_cast<int>(random.Below(n));
    std::vector<int64_t> times(static_cast<size_t>(n));
    const uint64_t spread = 1 + random.Below(5);  // many equal times
    for (int64_t& t : times) t = static_cast<int64_t>(random.Below(spread) + (round % 2));
    const int64_t first = static_cast<int64_t>(random.Below(8)),
                  last = static_cast<int64_t>(random.Below(8));
    const std::vector<int> layers = Split(times, first, last, stages);
    ASSERT_EQ(std::accumulate(layers.begin(), layers.end(), 0), n);
    for (const int l : layers) ASSERT_GE(l, 1);
    const Goodness best = BestOfAll(times, first, last, stages),
                   got = GoodnessOf(layers, times, first, last);
    EXPECT_EQ(got.slowest, best.slowest);
    EXPECT_EQ(got.squares, best.squares);
    EXPECT_EQ(layers, best.layers);
  }
}

// 60 layers of 10 on 16 stages, the head as long as one and a half: 615 over 16 is 38.4, so 40 is
// the least there is: 15 stages hold 57 or more layers, 3 at least have 3, which leaves the last
// stage 2 (35) or fewer.
TEST(BalancedSplitTest, TheHeadTakesLayersFromTheLastStage) {
  const std::vector<int64_t> times(60, 10);
  const std::vector<int> layers = Split(times, 0, 15, 16);
  EXPECT_EQ(layers.back(), 2);
  EXPECT_EQ(*std::max_element(layers.begin(), layers.end()), 4);
  EXPECT_EQ(GoodnessOf(layers, times, 0, 15).slowest, 40);
}

TEST(BalancedSplitTest, AmongEqualsEarlierStagesHoldFewerLayers) {
  EXPECT_EQ(Split({1, 1, 1, 1, 1}, 0, 0, 2), (std::vector<int>{2, 3}));
  EXPECT_EQ(Split({1, 1, 1, 1, 1, 1, 1}, 0, 0, 3), (std::vector<int>{2, 2, 3}));
  EXPECT_EQ(Split({0, 0, 0}, 0, 0, 2), (std::vector<int>{1, 2}));
}

// Tenths do not sum to the same doubles in every order.
TEST(BalancedSplitTest, RoundingDoesNotDecideBetweenEquals) {
  const std::vector<Seconds> times(50, Seconds(0.1));
  const std::vector<int> layers = BalancedSplit(times, Seconds(0), Seconds(0), 8);
  EXPECT_EQ(layers, (std::vector<int>{6, 6, 6, 6, 6, 6, 7, 7}));
}

Model DeepModel(int mtp) {
  Model m;
  m.runs = {{LayerKind::kDense, 1}, {LayerKind::kMoe, 4}};
  m.mtp_layers = mtp;
  return m;
}

TEST(StagesTest, EmbeddingComesFirstHeadAndMtpLastAndEqualNeighboursTogether) {
  const int layers[] = {2, 3};
  const auto stages = StagesOf(DeepModel(2), layers);
  const auto text = [](const StageBlocks& blocks) {
    std::string s;
    for (const BlockRun& run : blocks)
      s += std::to_string(run.count) + " " + std::string(NameOf(run.kind)) + ", ";
    return s;
  };
  EXPECT_EQ(text(stages.at(0)), "1 embedding, 1 dense-layer, 1 moe-layer, ");
  EXPECT_EQ(text(stages.at(1)), "3 moe-layer, 1 head, 2 mtp-module, ");
}

TEST(StagesTest, OneStageHoldsEverything) {
  const int layers[] = {5};
  const auto stages = StagesOf(DeepModel(0), layers);
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0].size(), 4u);
}

TEST(StagesTest, LayerKindsAreInOrder) {
  const auto kinds = LayerKinds(DeepModel(0));
  ASSERT_EQ(kinds.size(), 5u);
  EXPECT_EQ(kinds[0], BlockKind::kDense);
  for (size_t i = 1; i < 5; ++i) EXPECT_EQ(kinds[i], BlockKind::kMoe);
}

}  // namespace
}  // namespace moecast
