#include "scenarios/claims/network_claims.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

// The mean and the worst relative error of the rows that nothing was fitted on, by family.
struct Errors {
  double sum = 0, worst = 0;
  int rows = 0;
  double mean() const { return sum / rows; }
};

std::map<std::string, Errors> ErrorsByFamily(bool fitted_too) {
  std::map<std::string, Errors> by_family;
  for (const NetworkClaim& c : LoadNetworkClaims()) {
    if (c.used_for_fitting && !fitted_too) continue;
    const double error =
        std::fabs(Predict(c, LoadCluster(c.cluster)).time.p50 / c.published.value - 1);
    Errors& e = by_family[c.family];
    e.sum += error;
    e.worst = std::max(e.worst, error);
    ++e.rows;
  }
  return by_family;
}

TEST(NetworkClaimsTest, WhatDeepEpWasNotFittedOnIsWithinEightPercentOnAverageAndNoneAboveFifteen) {
  const auto errors = ErrorsByFamily(false);
  const Errors normal = errors.at("DeepEP"), low_latency = errors.at("DeepEP low latency");
  EXPECT_EQ(normal.rows, 4);
  EXPECT_EQ(low_latency.rows, 8);
  EXPECT_LT((normal.sum + low_latency.sum) / (normal.rows + low_latency.rows), 0.08);
  EXPECT_LT(std::max(normal.worst, low_latency.worst), 0.15);
}

TEST(NetworkClaimsTest, NcclInANodeAndSendsBetweenNodesAreWithinTenPercentOnAverage) {
  EXPECT_LT(ErrorsByFamily(true).at("NCCL").mean(), 0.10);
  EXPECT_LT(ErrorsByFamily(false).at("NCCL").mean(), 0.10);
  EXPECT_LT(ErrorsByFamily(false).at("send").mean(), 0.10);
}

// DeepEP counts a token for its own node too: of EP 32's 58 GB/s three quarters are on the wire,
// 43.5, of EP 16's 43 one half.
TEST(NetworkClaimsTest, BytesOnTheWireAreThoseBeyondTheSendersNode) {
  int seen = 0;
  for (const NetworkClaim& c : LoadNetworkClaims()) {
    if (c.family != "DeepEP" || c.call.kind != CollectiveKind::kDispatch ||
        c.call.group.size() == 8)
      continue;
    const Cluster cluster = LoadCluster(c.cluster);
    const Routes routes(cluster);
    const Parts parts = Lower(FindAlgorithm(c.call, c.algorithm, routes), c.call, routes);
    const double on_wire = BytesSent(parts[0], cluster).network / c.published / GBps(1);
    const double expected = c.call.group.size() == 16   ? 21.5
                            : c.call.group.size() == 32 ? 43.5
                                                        : 44.6;
    EXPECT_NEAR(on_wire, expected, 0.05);
    EXPECT_EQ(IsNetwork(cluster, BusiestLink(parts[0], cluster)), c.call.group.size() != 16);
    ++seen;
  }
  EXPECT_EQ(seen, 3);
}

TEST(NetworkClaimsTest, NcclIsFittedOnAllGatherOfTwoAndEightRanksAlone) {
  for (const NetworkClaim& c : LoadNetworkClaims()) {
    if (c.family != "NCCL") continue;
    EXPECT_EQ(c.used_for_fitting,
              c.call.kind == CollectiveKind::kAllGather && c.call.group.size() != 4)
        << c.name;
  }
}

}  // namespace
}  // namespace moecast
