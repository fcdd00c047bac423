#include "sim/routing/routed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moecast {
namespace {

double Choose(double n, double k) {
  return k > n ? 0 : std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1));
}
double Sum(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

RoutingSetup SetupOf(const Moe& moe, int ranks, int ranks_per_node, const TokenMix& mix = {}) {
  return {.gate = GateOf(moe),
          .load = {.tokens = mix},
          .length = 4096,
          .spread = {.ranks = ranks,
                     .ranks_per_node = ranks_per_node,
                     .uniform = SpreadOf(moe, ranks, ranks_per_node)}};
}
constexpr Moe kPlain{.experts = 64, .top_k = 6},
    kV2{.experts = 160, .top_k = 6, .groups = 8, .top_groups = 3};

// Expected number of the parts of equal size that k of n things drawn without replacement are in.
double PartsHit(int n, int parts, int k) {
  return parts * (1 - Choose(n - n / parts, k) / Choose(n, k));
}

// Ports of the slowest: PCIe of 20 GB/s before a NIC of 48.5, and a pool whose NVLink reaches 100.
TEST(RoutedTest, TokensFindWhatThePortsOfTheSlowestGpuGive) {
  Model model;
  model.moe = kPlain;
  Cluster c{.name = "test", .gpus = 16, .token_nvlink_share = 0.8, .token_nic_share = 0.5};
  c.device.nvlink_usable = GBps(160);
  Plan plan;
  const auto setup = [&] { return RoutingOf(model, c, plan, {.ranks = 16}, 4096); };
  EXPECT_EQ(setup().network, GBps(48.5 * 0.5));
  c.device.pcie_usable = GBps(20);
  EXPECT_EQ(setup().network, GBps(10));
  EXPECT_EQ(setup().nvlink, GBps(128));
  c.pools = {{.nodes = 1, .device = c.device}, {.nodes = 1, .device = c.device}};
  c.pools[1].device.nvlink_usable = GBps(100);
  EXPECT_EQ(setup().nvlink, GBps(80));
  // NCCL's all-to-all reaches all of both, and the two hops of a framework wait for each other.
  EXPECT_FALSE(setup().in_turn);
  plan.collectives.dispatch = "direct";
  EXPECT_EQ(setup().nvlink, GBps(100));
  EXPECT_EQ(setup().network, GBps(20));
  plan.parallel.ep = plan.parallel.dp = 16;
  plan.collectives.dispatch = "store-and-forward";
  EXPECT_EQ(setup().nvlink, GBps(80));
  EXPECT_TRUE(setup().in_turn);
}

TEST(RoutedTest, UniformTokensSpreadAsTheClosedFormSays) {
  const RoutingSetup setup = SetupOf(kPlain, 16, 8);
  RoutedDraws draws(setup, 1, 5);
  const RoutedLayer layer = Measure(setup, draws.Next(), 0);
  const double tokens = 16 * 4096;
  // The standard error of a mean of numbers below 6 over 65,536 tokens is below 0.01.
  EXPECT_NEAR(layer.devices_per_token, PartsHit(64, 16, 6), 0.015);
  EXPECT_NEAR(layer.nodes_per_token, PartsHit(64, 2, 6), 0.005);
  EXPECT_NEAR(layer.devices_per_token, SpreadOf(kPlain, 16, 8).devices, 0.015);
  EXPECT_EQ(Sum(layer.expert_visits), tokens * 6);
  EXPECT_EQ(Sum(layer.rank_visits), tokens * 6);
  EXPECT_NEAR(Sum(layer.rank_tokens), tokens * layer.devices_per_token, 1e-6 * tokens);
  // A visit is a coin of probability 6/64: the coefficient of variation of the experts' loads is
  // sqrt((1 - p) / (p tokens)) = 0.0121.
  EXPECT_NEAR(SummaryOf(layer.expert_visits).cv, std::sqrt((1 - 6.0 / 64) / (6.0 / 64 * tokens)),
              0.004);
}

TEST(RoutedTest, RankToRankEachSendsItsShareOnce) {
  const RoutingSetup setup = SetupOf(kPlain, 16, 8);
  RoutedDraws draws(setup, 1, 5);
  const RoutedLayer layer = Measure(setup, draws.Next(), 0);
  const double expected = 4096 * PartsHit(64, 16, 6) / 16;
  for (int from = 0; from < 16; ++from)
    for (int to = 0; to < 16; ++to)
      EXPECT_NEAR(layer.sent[from * 16 + to], from == to ? 0 : expected, 6 * std::sqrt(expected))
          << from << to;
}

TEST(RoutedTest, LimitedUniformTokensSpreadAsTheClosedFormSays) {
  constexpr Moe kV3{.experts = 256,
                    .top_k = 8,
                    .groups = 8,
                    .top_groups = 4,
                    .scoring = &kSigmoidScoring,
                    .normalize_top_k = true,
                    .method = &kNoAuxTopK};
  for (const int ranks : {8, 16, 32}) {
    for (const Moe& moe : {kV2, kV3}) {
      RoutingSetup setup = SetupOf(moe, ranks, 8);
      setup.length = 65536 / ranks;
      RoutedDraws draws(setup, 1, 5);
      const RoutedLayer layer = Measure(setup, draws.Next(), 0);
      // 65,536 tokens: 0.01 is five standard errors of V2's exact form. V3's groups by their two
      // best are close to it.
      const double close = moe.method->has_bias ? 0.011 * setup.spread.uniform.devices : 0.01;
      EXPECT_NEAR(layer.devices_per_token, setup.spread.uniform.devices, close)
          << ranks << " of " << moe.experts;
      EXPECT_NEAR(layer.nodes_per_token, setup.spread.uniform.nodes, close)
          << ranks << " of " << moe.experts;
    }
  }
}

TEST(RoutedTest, FewTokensHitTheExpertsThatTheClosedFormSays) {
  const RoutingSetup setup = SetupOf(kPlain, 16, 8);
  RoutedDraws draws(setup, 1, 5);
  const Choices choices = draws.Next();
  EXPECT_EQ(DistinctExperts(choices, 64, 1), 6);
  for (const int batch : {2, 8, 32, 128})
    EXPECT_NEAR(DistinctExperts(choices, 64, batch), 64 * (1 - std::pow(1 - 6.0 / 64, batch)), 0.15)
        << batch;
}

Choices TokensTo(const std::vector<std::vector<uint16_t>>& experts_of) {
  Choices c;
  for (const std::vector<uint16_t>& experts : experts_of) {
    for (const uint16_t e : experts) {
      c.expert.push_back(e);
      c.affinity.push_back(0.5f);
    }
    c.begin.push_back(static_cast<uint32_t>(c.expert.size()));
  }
  return c;
}
// Four experts on four ranks on two nodes; a token of each rank.
Choices FourTokens() {
  return TokensTo({{0, 1}, {2, 3}, {3, 0}, {3, 1}});
}

TEST(RoutedTest, TokensTravelOncePerExpertDeviceOrNode) {
  RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2}, 4, 2);
  setup.length = 1;
  const auto sent = [&](SentOnce once) {
    setup.spread.sent_once = once;
    return Measure(setup, FourTokens(), 0).sent;
  };
  // Rank 0: expert 0 its own, 1 to rank 1. Rank 1: 2 and 3. Rank 2: 3 and 0. Rank 3: 3 its own, 1.
  const std::vector<double> direct = {0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0};
  EXPECT_EQ(sent(SentOnce::kPerDevice), direct);
  EXPECT_EQ(sent(SentOnce::kPerExpert), direct);
  // In two hops rank 1's token goes to rank 3, which keeps it for expert 3 and passes it on to rank
  // 2; rank 2's goes to 3 inside the node and to 0; rank 3's to 1.
  EXPECT_EQ(sent(SentOnce::kPerNode),
            (std::vector<double>{0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0}));
  const RoutedLayer layer = Measure(setup, FourTokens(), 0);
  EXPECT_EQ(layer.devices_per_token, 2);
  EXPECT_EQ(layer.nodes_per_token, 6.0 / 4);
  EXPECT_EQ(layer.rank_tokens, (std::vector<double>{2, 2, 1, 3}));
  // Two experts a rank: what goes to both travels once per device.
  setup.spread.ranks = setup.spread.ranks_per_node = 2;
  EXPECT_EQ(sent(SentOnce::kPerExpert), (std::vector<double>{0, 2, 2, 0}));
  EXPECT_EQ(sent(SentOnce::kPerDevice), (std::vector<double>{0, 1, 2, 0}));
}

TEST(RoutedTest, DroppingIsByTheModelsGroupsAndTakesTheLightestWeight) {
  RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2, .groups = 2, .top_groups = 2}, 4, 4);
  setup.length = 1;
  setup.load.capacity_factor = 0.75;
  Choices choices = FourTokens();
  choices.affinity = {0.5f, 0.1f, 0.3f, 0.7f, 0.6f, 0.4f, 0.5f, 0.2f};
  // Eight visits on two groups: three each. Experts {0, 1} have four, at 0.5, 0.1, 0.4, 0.2; {2, 3}
  // four, at 0.3, 0.7, 0.6, 0.5: 0.1 and 0.3 go, of 3.3 in all.
  const RoutedLayer layer = Measure(setup, choices, 0);
  EXPECT_EQ(layer.dropped, 2.0 / 8);
  EXPECT_NEAR(layer.dropped_weight, 0.4 / 3.3, 1e-6);
  EXPECT_EQ(layer.expert_visits, (std::vector<double>{2, 1, 0, 3}));
  setup.load.never_dropped = 1;
  EXPECT_EQ(Measure(setup, choices, 0).dropped, 0);
}

TEST(RoutedTest, CountsAreLoadsCutAtTheCapacity) {
  RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2, .groups = 2, .top_groups = 2}, 4, 4);
  const std::vector<uint32_t> counts = {6, 2, 1, 3};
  EXPECT_EQ(MeasureCounts(setup, counts).rank_visits, (std::vector<double>{6, 2, 1, 3}));
  // Capacity 6 of the group with 8.
  setup.load.capacity_factor = 1;
  const RoutedLayer cut = MeasureCounts(setup, counts);
  EXPECT_EQ(cut.expert_visits, (std::vector<double>{4.5, 1.5, 1, 3}));
  EXPECT_NEAR(cut.dropped, 2.0 / 12, 1e-12);
  setup.load.never_dropped = 0.875;  // 7 of the 8 stay
  EXPECT_NEAR(MeasureCounts(setup, counts).dropped, 1.0 / 12, 1e-12);
}

TEST(TokensTest, ZipfTokensChooseExpertsInProportionToTheirPopularity) {
  TokenMix mix{.distribution = TokenDistribution::kZipf, .zipf_exponent = 1};
  RoutingSetup setup = SetupOf({.experts = 8, .top_k = 1}, 1, 1, mix);
  setup.sequences = 50;
  RoutedDraws draws(setup, 1, 3);
  std::vector<double> visits = Measure(setup, draws.Next(), 0).expert_visits;
  std::sort(visits.rbegin(), visits.rend());
  double harmonic = 0;
  for (int r = 1; r <= 8; ++r) harmonic += 1.0 / r;
  for (int r = 1; r <= 8; ++r)
    EXPECT_NEAR(visits[r - 1] / (50 * 4096), 1 / (r * harmonic), 0.005) << r;
}

TEST(TokensTest, PopularitiesOfClustersAreDirichlet) {
  // A share has mean 1/N and variance (1/N)(1 - 1/N)/(N a + 1).
  for (const double a : {0.2, 1.0, 5.0}) {
    Random random(9);
    const int n = 10, clusters = 4000;
    const Centroids c = FirstLayer(
        {.distribution = TokenDistribution::kClusters, .clusters = clusters, .concentration = a}, n,
        random);
    double mean = 0, squares = 0;
    for (int k = 0; k < clusters; ++k) {
      double sum = 0;
      for (int i = 0; i < n; ++i) sum += std::exp(double{c(k, i)});
      const double share = std::exp(double{c(k, 0)}) / sum;
      mean += share / clusters;
      squares += share * share / clusters;
    }
    const double variance = 0.1 * 0.9 / (n * a + 1);
    EXPECT_NEAR(mean, 0.1, 5 * std::sqrt(variance / clusters)) << a;
    EXPECT_NEAR(squares - mean * mean, variance, 0.12 * variance) << a;
  }
}

TEST(TokensTest, ASequenceStaysInAClusterAsLongAsItDwells) {
  Random random(2);
  const TokenMix mix{.distribution = TokenDistribution::kClusters, .clusters = 4, .dwell = 50};
  const auto clusters = DrawClusters(mix, 40, 5000, random);
  double changes = 0;
  for (size_t t = 1; t < clusters.size(); ++t) changes += clusters[t] != clusters[t - 1];
  // A new draw after 50 tokens, another cluster in 3 of 4.
  EXPECT_NEAR(changes / static_cast<double>(clusters.size()), 0.75 / 50, 0.001);
}

TEST(TokensTest, LayersShareThatPartOfThePopularities) {
  for (const auto distribution : {TokenDistribution::kClusters, TokenDistribution::kZipf}) {
    Random random(4);
    const TokenMix mix{.distribution = distribution, .clusters = 20, .layer_correlation = 0.7};
    const Centroids first = FirstLayer(mix, 500, random);
    Centroids next = first;
    GoToNextLayer(mix, random, next);
    double same = 0;
    for (size_t i = 0; i < first.at.size(); ++i) same += first.at[i] == next.at[i];
    EXPECT_NEAR(same / static_cast<double>(first.at.size()), 0.7, 0.08);
    double before = 0, after = 0;
    for (const float x : first.at) before += x;
    for (const float x : next.at) after += x;
    // Zipf keeps the ranks.
    EXPECT_EQ(std::fabs(after - before) < 1e-2, distribution == TokenDistribution::kZipf);
  }
}

TEST(RoutedTest, ClustersInTimeLoadAMicroBatchUnequally) {
  const auto cv = [](double dwell) {
    const TokenMix mix{.distribution = TokenDistribution::kClusters,
                       .clusters = 1000,
                       .concentration = 0.3,
                       .dwell = dwell};
    const RoutingSetup setup = SetupOf(kPlain, 8, 8, mix);
    RoutedDraws draws(setup, 4, 6);
    double sum = 0;
    for (int d = 0; d < 4; ++d) sum += SummaryOf(Measure(setup, draws.Next(), d).rank_visits).cv;
    return sum;
  };
  EXPECT_GT(cv(4096), 2 * cv(1));
}

TEST(LoadsTest, WithoutTokensTheyAreTheClosedFormOfDeviceCv) {
  RoutingSetup setup = SetupOf(kV2, 8, 8);
  setup.load = {.device_cv = 0.3, .capacity_factor = 1.0, .never_dropped = 0.1};
  EXPECT_EQ(LoadsOf(setup, 59).mean, LoadOf(setup.load, 8));
  EXPECT_TRUE(LoadsOf(setup, 59).at.empty());
}

// The four tokens of TokensTravelOncePerExpertDeviceOrNode.
TEST(LoadsTest, SharesOfFourTokensWorkedByHand) {
  RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2}, 4, 2);
  setup.length = 1;
  setup.nvlink = BytesPerSecond(4);
  setup.network = BytesPerSecond(1);
  // Two visits a rank: {2, 2, 1, 3}. A token goes to 2 ranks and to 1 + 2/3 nodes, closed form.
  EXPECT_DOUBLE_EQ(setup.spread.uniform.devices, 2);
  EXPECT_DOUBLE_EQ(setup.spread.uniform.nodes, 5.0 / 3);
  ExpertLoad load = LoadOf(setup, Measure(setup, FourTokens(), 0));
  EXPECT_EQ(load.visits, (Share{1, 1.5}));
  EXPECT_EQ(load.tokens, (Share{1, 1.5}));
  // Straight: half a token from each rank to each, so 1 over an even NIC. Rank 1 sends 2 over its
  // own; of the 6 that travel, 0 to 1 and 2 to 3 go by NVLink and 4 by the NICs.
  EXPECT_DOUBLE_EQ(load.bytes.most, 2);
  EXPECT_DOUBLE_EQ(load.bytes.mean, 1);
  // In two hops an even NIC sends half of 5/3; 1 to 3, 2 to 0 and 3 to 1 cross, one token each.
  setup.spread.sent_once = SentOnce::kPerNode;
  load = LoadOf(setup, Measure(setup, FourTokens(), 0));
  EXPECT_DOUBLE_EQ(load.bytes.most, 1 / (5.0 / 6));
  EXPECT_DOUBLE_EQ(load.bytes.mean, 0.75 / (5.0 / 6));
  EXPECT_EQ(EvenOf(load).bytes, (Share{load.bytes.mean, load.bytes.mean}));
}

// Two experts a rank, of which a token's may be both: rank 0's are on rank 1, rank 1's on rank 2;
// rank 2's are its own and rank 0's, rank 3's its own and rank 1's.
TEST(LoadsTest, BytesAreOverWhatTheAlgorithmSendsOfEvenTokens) {
  RoutingSetup setup = SetupOf({.experts = 8, .top_k = 2}, 4, 2);
  setup.length = 1;
  setup.nvlink = BytesPerSecond(4);
  setup.network = BytesPerSecond(1);
  EXPECT_DOUBLE_EQ(setup.spread.uniform.devices, 4 * (1 - 15.0 / 28));
  EXPECT_DOUBLE_EQ(setup.spread.uniform.nodes, 2 * (1 - 6.0 / 28));
  const auto bytes = [&](SentOnce once) {
    setup.spread.sent_once = once;
    return LoadOf(setup, Measure(setup, TokensTo({{2, 3}, {4, 5}, {4, 0}, {6, 2}}), 0)).bytes;
  };
  // Even tokens: 13/28 to each rank; 1, 2 and 3 each send one over the network.
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerDevice).most, 1 / (2 * 13.0 / 28));
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerDevice).mean, 0.75 / (2 * 13.0 / 28));
  // Half of one to each: 1 sends two, 2 and 3 one.
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerExpert).most, 2);
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerExpert).mean, 1);
  // 1 to 3 and on to 2, 2 to 0, 3 to 1, and in its node 0 to 1. Even tokens: 11/14 by the network,
  // 2 * 13/28 by NVLink, four times as fast.
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerNode).most, 1 / (11.0 / 14));
  setup.in_turn = true;
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerNode).most, (1 + 1 / 4.0) / (11.0 / 14 + 13.0 / 56));
  EXPECT_DOUBLE_EQ(bytes(SentOnce::kPerNode).mean, (0.75 + 0.5 / 4) / (11.0 / 14 + 13.0 / 56));
}

TEST(LoadsTest, SkewSlowsAndACapacityBoundsIt) {
  const auto load = [](double exponent, std::optional<double> capacity, double never_dropped = 0) {
    RoutingSetup setup = SetupOf(kV2, 8, 8,
                                 {.distribution = TokenDistribution::kZipf,
                                  .zipf_exponent = exponent,
                                  .layer_correlation = 0});
    setup.length = 512;
    setup.load.capacity_factor = capacity;
    setup.load.never_dropped = never_dropped;
    return LoadsOf(setup, 4).mean;
  };
  const ExpertLoad even = load(0, std::nullopt);
  const ExpertLoad skewed = load(1, std::nullopt);
  const ExpertLoad cut = load(1, 1.0);
  const ExpertLoad kept = load(1, 1.0, 1);
  // 4096 tokens of 6: a device has 3072 visits, with a standard deviation of about 50.
  EXPECT_NEAR(even.visits.most, 1.02, 0.02);
  EXPECT_NEAR(even.visits.mean, 1, 1e-12);
  EXPECT_NEAR(even.tokens.mean, 1, 0.005);
  EXPECT_NEAR(even.bytes.mean, 1, 0.005);
  EXPECT_GT(skewed.visits.most, 1.2);
  EXPECT_GT(skewed.bytes.most, skewed.bytes.mean + 0.1);
  EXPECT_LE(cut.visits.most, 1.0);
  EXPECT_LT(cut.visits.mean, 0.95);
  // A token that loses one of two experts on a device still goes there.
  EXPECT_GT(cut.tokens.mean, cut.visits.mean);
  EXPECT_LT(cut.tokens.mean, skewed.tokens.mean);
  EXPECT_EQ(kept, skewed);
}

TEST(LoadsTest, LayersDifferForGoodAndMicroBatchesByTheirTokens) {
  RoutingSetup setup =
      SetupOf(kV2, 8, 8, {.distribution = TokenDistribution::kZipf, .zipf_exponent = 1});
  setup.length = 128;
  const ExpertLoads loads = LoadsOf(setup, 20);
  EXPECT_EQ(loads.layers, 20);
  EXPECT_EQ(loads.micro_batches, 16);
  double between = 0, within = 0;
  for (int l = 0; l < 20; ++l) {
    double mean = 0;
    for (int m = 0; m < 16; ++m) mean += loads.at[loads.IndexOf(l, m)].visits.most / 16;
    for (int m = 0; m < 16; ++m)
      within += std::pow(loads.at[loads.IndexOf(l, m)].visits.most - mean, 2) / 16;
    between += std::pow(mean - loads.mean.visits.most, 2);
  }
  EXPECT_GT(between, 4 * within);
  EXPECT_GT(within, 0);
}

TEST(LoadsTest, WhatIsRecordedIsALayersOwn) {
  RoutingSetup setup = SetupOf({.experts = 4, .top_k = 2}, 4, 4);
  setup.load = {};
  // Two layers in three micro-batches: counts by expert, and so by rank.
  const RoutingRecord counts{
      .layers = 2, .experts = 4, .rows = 3, .counts = {2, 2, 2, 2, 4, 2, 1, 1, 2, 2, 2, 2,
                                                       8, 0, 0, 0, 1, 1, 3, 3, 2, 2, 2, 2}};
  ExpertLoads loads = LoadsOf(setup, counts);
  EXPECT_EQ(loads.layers, 2);
  EXPECT_EQ(loads.micro_batches, 3);
  const double most[2][3] = {{1, 2, 1}, {4, 1.5, 1}};
  for (int l = 0; l < 2; ++l)
    for (int m = 0; m < 3; ++m) {
      const ExpertLoad& load = loads.at[loads.IndexOf(l, m)];
      EXPECT_EQ(load.visits, (Share{1, most[l][m]}));
      EXPECT_EQ(load.bytes, load.visits);
    }
  EXPECT_DOUBLE_EQ(loads.mean.visits.most, 10.5 / 6);
  // Choices of one layer are one micro-batch.
  const RoutingRecord choices{
      .layers = 1, .experts = 4, .top_k = 2, .rows = 4, .choices = {0, 1, 2, 3, 3, 0, 3, 1}};
  setup.length = 1;
  loads = LoadsOf(setup, choices);
  ASSERT_EQ(loads.at.size(), 1u);
  EXPECT_EQ(loads.at[0], LoadOf(setup, Measure(setup, FourTokens(), 0)));
}

TEST(LoadsTest, RepeatedLayersAreInOtherMicroBatches) {
  const ExpertLoads loads{.layers = 3, .micro_batches = 4};
  EXPECT_EQ(loads.IndexOf(2, 0), 2u);
  EXPECT_EQ(loads.IndexOf(2, 5), 1u * 3 + 2);
  EXPECT_EQ(loads.IndexOf(4, 0), 1u * 3 + 1);  // the second layer, a micro-batch on
}

TEST(RoutedTest, TheSameSeedRoutesAlike) {
  const RoutingSetup setup = SetupOf(kV2, 8, 8, {.distribution = TokenDistribution::kClusters});
  RoutedDraws a(setup, 2, 5), b(setup, 2, 5), other(setup, 2, 6);
  const Choices first = a.Next();
  EXPECT_EQ(first.expert, b.Next().expert);
  EXPECT_NE(first.expert, other.Next().expert);
  EXPECT_NE(a.Next().expert, first.expert);
}

}  // namespace
}  // namespace moecast
