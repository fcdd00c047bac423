#include "sim/network/flows.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

// As means over pairs they put on every link what the pairs put there one by one.
TEST(FlowsTest, AnEvenAllToAllLoadsEachLinkAsItsPairsDo) {
  FabricSpec planes = SmallTree(LoadBalancing::kAdaptive);
  planes.planes = 8;
  for (const Cluster& c : {NodesOf8(4, {}), NodesOf8(4, {}, 4), NodesOf8(4, SmallTree()), NodesOf8(4, planes),
                           Without(NodesOf8(4, SmallTree()), {"spine0", "node1.gpu3.nic-in"})}) {
    const Routes routes(c);
    std::vector<int> gpus(static_cast<size_t>(c.gpus));
    std::iota(gpus.begin(), gpus.end(), 0);
    Traffic pairs;
    for (const int from : gpus)
      for (const int to : gpus) pairs.Add(routes.Between(from, to), MB(1));
    pairs.Merge();
    const std::vector<Bytes> bytes =
        BytesByLink(EvenAllToAll(gpus, MB(1), routes, {}), static_cast<size_t>(NumberOfLinks(c)));
    std::vector<Bytes> expected(bytes.size());
    for (const LinkLoad& l : pairs.loads) expected[static_cast<size_t>(l.link)] = l.bytes;
    for (size_t l = 0; l < bytes.size(); ++l)
      EXPECT_NEAR(bytes[l].value, expected[l].value, 1) << LinkName(c, static_cast<LinkId>(l));
  }
}

}  // namespace
}  // namespace moecast
