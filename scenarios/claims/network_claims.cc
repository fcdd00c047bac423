#include "scenarios/claims/network_claims.h"

#include <cmath>

#include "base/check.h"
#include "base/random.h"
#include "costmodel/collectives/rates.h"
#include "scenarios/claims/claim_table.h"

namespace moecast {
namespace {

constexpr int kGpusPerNode = 8;

// Ranks in order over nodes, so many of each node's GPUs.
std::vector<int> RanksOf(int ranks, int per_node) {
  std::vector<int> group;
  for (int i = 0; i < ranks; ++i) group.push_back(i / per_node * kGpusPerNode + i % per_node);
  return group;
}

}  // namespace

std::vector<NetworkClaim> LoadNetworkClaims() {
  const ClaimTable table("network");
  std::vector<NetworkClaim> claims;
  for (size_t i = 0; i < table.rows(); ++i) {
    const ClaimRow row = table.Row(i);
    const auto of = [&](const char* column) { return std::string(row.Text(column)); };
    const Bytes bytes = row.Size("bytes");
    NetworkClaim c{.family = of("family"),
                   .cluster = of("cluster"),
                   .algorithm = of("algorithm"),
                   .source = of("source"),
                   .used_for_fitting = row.IsYes("used_for_fitting")};
    const int ranks = row.Whole("ranks"), per_node = row.Whole("ranks_per_node");
    c.call = {.kind = row.Name<CollectiveKind>("kind"),
              .group = RanksOf(ranks, per_node),
              .bytes = bytes};
    c.name = of("kind") + " " + of("ranks") + " ranks";
    if (of("experts").empty()) {
      c.name += " " + of("bytes");
    } else {
      Moe moe;
      moe.experts = row.Whole("experts");
      moe.top_k = row.Whole("top_k");
      moe.groups = row.Whole("groups");
      moe.top_groups = row.Whole("top_groups");
      c.call.spread = SpreadOf(moe, ranks, per_node);
    }
    const double published = row.Number("published", 1e-3, kGreatestNumber);
    if (of("quantity") == "time_us") {
      c.published = Microseconds(published);
    } else {
      MOECAST_CHECK(of("quantity") == "logical_gbps");
      const double copies = ranks > per_node ? c.call.spread.nodes : c.call.spread.devices;
      c.published = bytes * copies / GBps(published);
    }
    claims.push_back(std::move(c));
  }
  return claims;
}

NetworkPrediction Predict(const NetworkClaim& claim, const Cluster& cluster) {
  const Routes routes(cluster);
  const CollectiveAlgorithm& algorithm = claim.algorithm == "auto"
                                             ? FastestAlgorithm(claim.call, cluster, routes)
                                             : FindAlgorithm(claim.call, claim.algorithm, routes);
  const Parts parts = Lower(algorithm, claim.call, routes);
  MOECAST_CHECK(parts.size() == 1 && !parts[0].empty());
  const double time = TimeAlone(parts[0], cluster).value;
  const Known& sigma =
      IsNetwork(cluster, BusiestLink(parts[0], cluster)) ? kNetworkSigma : kNvlinkSigma;
  const double factor = std::exp(NormalQuantile(0.9) * sigma.value);
  return {{time / factor, time, time * factor}, algorithm.name};
}

}  // namespace moecast
