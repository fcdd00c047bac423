#include "scenarios/network_claims.h"

#include <cmath>

#include "base/check.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "costmodel/collectives/rates.h"
#include "scenarios/builtin.h"
#include "traces/measurements.h"

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
  const std::string file = "claims/network.csv";
  const auto text = BuiltinText(file);
  MOECAST_CHECK(text.has_value());
  const Measurements table(std::string(*text), file);
  std::vector<NetworkClaim> claims;
  for (size_t row = 0; row < table.rows(); ++row) {
    const auto of = [&](const char* column) { return std::string(table.Text(row, table.Column(column))); };
    const auto whole = [&](const char* column) {
      return static_cast<int>(table.Integer(row, table.Column(column), 1, 1 << 20));
    };
    const auto kind = ByName<CollectiveKind>(of("kind"));
    const auto bytes = ParseBytes(of("bytes"));
    MOECAST_CHECK(kind && bytes);
    NetworkClaim c{.family = of("family"),
                   .cluster = of("cluster"),
                   .algorithm = of("algorithm"),
                   .source = of("source"),
                   .used_for_fitting = of("used_for_fitting") == "yes"};
    const int ranks = whole("ranks"), per_node = whole("ranks_per_node");
    c.call = {.kind = *kind, .group = RanksOf(ranks, per_node), .bytes = *bytes};
    c.name = of("kind") + " " + of("ranks") + " ranks";
    if (of("experts").empty()) {
      c.name += " " + of("bytes");
    } else {
      Moe moe;
      moe.experts = whole("experts");
      moe.top_k = whole("top_k");
      moe.groups = whole("groups");
      moe.top_groups = whole("top_groups");
      c.call.spread = SpreadOf(moe, ranks, per_node);
    }
    const double published = table.Number(row, table.Column("published"), 1e-3, 1e12);
    if (of("quantity") == "time_us") {
      c.published = Microseconds(published);
    } else {
      MOECAST_CHECK(of("quantity") == "logical_gbps");
      const double copies = ranks > per_node ? c.call.spread.nodes : c.call.spread.devices;
      c.published = *bytes * copies / GBps(published);
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
  const Known& sigma = IsNetwork(cluster, BusiestLink(parts[0], cluster)) ? kNetworkSigma : kNvlinkSigma;
  const double factor = std::exp(NormalQuantile(0.9) * sigma.value);
  return {{time / factor, time, time * factor}, algorithm.name};
}

}  // namespace moecast
