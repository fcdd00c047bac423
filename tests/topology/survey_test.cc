#include "topology/survey.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/topology/test_clusters.h"
#include "topology/routes.h"

namespace moecast {
namespace {

// 32 GPUs: 32 x 7 pairs share a node, 32 x 24 do not.
TEST(SurveyTest, InOneNetworkEveryPairOfNodesUsesItsOwnNics) {
  EXPECT_EQ(ReachOf(NodesOf8(4, SmallTree())), (Reach{.over_nvlink = 224, .over_nics = 768}));
  EXPECT_EQ(ReachOf(NodesOf8(4, {})), (Reach{.over_nvlink = 224, .over_nics = 768}));
}

// Of the 8 GPUs of another node one is in the plane.
TEST(SurveyTest, InEightPlanesSevenOfEightPairsAreForwarded) {
  FabricSpec spec = SmallTree();
  spec.planes = 8;
  EXPECT_EQ(ReachOf(NodesOf8(4, spec)),
            (Reach{.over_nvlink = 224, .over_nics = 96, .forwarded = 672}));
}

TEST(SurveyTest, WithoutSpinesTheUnitsAreApart) {
  const std::vector<std::string> failed = {"spine0", "spine1"};
  const Survey s = SurveyOf(NodesOf8(4, SmallTree(LoadBalancing::kAdaptive)), failed);
  // Within a unit rails still meet in their leaf, and other rails are reached by a neighbour: 32 x
  // 1 and 32 x 7.
  EXPECT_EQ(s.reach,
            (Reach{.over_nvlink = 224, .over_nics = 32, .forwarded = 224, .unreachable = 512}));
  EXPECT_EQ(s.healthy_reach, (Reach{.over_nvlink = 224, .over_nics = 768}));
  EXPECT_EQ(s.bisection.value, 0);
  EXPECT_EQ(s.healthy_bisection, GBps(800));
  EXPECT_EQ(s.degraded.size(), 32u);
}

TEST(SurveyTest, AGpuThatNoOtherReachesIsCutOff) {
  const Cluster c = NodesOf8(2, {});
  EXPECT_EQ(ReachOf(Without(c, {"node0.gpu1.nic-in", "node0.gpu1.nvlink-in"})),
            (Reach{.over_nvlink = 105, .over_nics = 120, .unreachable = 15, .cut_off = 1}));
  EXPECT_EQ(ReachOf(Without(c, {"node0.gpu1.nic-in", "node0.gpu1.nic-out"})),
            (Reach{.over_nvlink = 112, .over_nics = 112, .forwarded = 16}));
}

// Counting kinds of nodes gives what counting every pair gives.
TEST(SurveyTest, ReachIsThatOfEveryPair) {
  Random random(5);
  for (int round = 0; round < 24; ++round) {
    FabricSpec spec = SmallTree(round % 2 ? LoadBalancing::kEcmp : LoadBalancing::kAdaptive);
    if (round % 3 == 0) spec.planes = 4;
    if (round % 5 == 0) spec = {};
    const Cluster healthy = NodesOf8(6, spec, round % 4 == 0 ? 4 : 8);
    std::vector<std::string> failed;
    for (LinkId link = 0; link < NumberOfLinks(healthy); ++link)
      if (Exists(healthy, link) && random.Uniform() < 0.02 * (round % 7))
        failed.push_back(LinkName(healthy, link));
    const Cluster c = Without(healthy, failed);
    const Routes routes(c);
    Reach expected;
    std::vector<int> sends(static_cast<size_t>(c.gpus)), receives = sends;
    for (int from = 0; from < c.gpus; ++from) {
      for (int to = 0; to < c.gpus; ++to) {
        if (from == to) continue;
        const Path path = routes.Between(from, to);
        if (!path.exists()) {
          ++expected.unreachable;
          continue;
        }
        ++sends[static_cast<size_t>(from)];
        ++receives[static_cast<size_t>(to)];
        int over_nvlink = 0;
        for (const LinkId link : path.span()) over_nvlink += !IsNetwork(c, link);
        ++(over_nvlink == 0                                      ? expected.over_nics
           : over_nvlink == static_cast<int>(path.span().size()) ? expected.over_nvlink
                                                                 : expected.forwarded);
      }
    }
    for (size_t g = 0; g < sends.size(); ++g) expected.cut_off += sends[g] == 0 || receives[g] == 0;
    EXPECT_EQ(ReachOf(c), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace moecast
