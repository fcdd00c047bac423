#include "sim/routing/expert_placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace moecast {
namespace {

using Slots = std::vector<int>;
using Loads = std::vector<double>;
constexpr auto kGlobal = PlacementPolicy::kGlobal, kHierarchical = PlacementPolicy::kHierarchical;

TEST(ExpertPlacementTest, TheHeaviestGoesToTheLightestDeviceThatHasRoom) {
  // 8 to the first, 4 and then 2 to the second, which is full; 2 to the first.
  const Loads loads = {8, 4, 2, 2};
  const Slots placed = PlaceExperts(kGlobal, loads, {.devices = 2, .slots = 4});
  EXPECT_EQ(placed, (Slots{0, 3, 1, 2}));
  EXPECT_EQ(DeviceLoads(placed, loads, 2), (Loads{10, 6}));
}

TEST(ExpertPlacementTest, ARedundantSlotGoesToTheExpertWhoseReplicasCarryMost) {
  // Six slots: expert 0 twice (4 a replica), then three times, for the tie with expert 1 goes to
  // the lower index. Then 4 | 8/3 | 8/3 | 8/3 | 2 | 2 are packed.
  const Loads loads = {8, 4, 2, 2};
  const Slots placed = PlaceExperts(kGlobal, loads, {.devices = 2, .slots = 6});
  EXPECT_EQ(placed, (Slots{1, 0, 3, 0, 0, 2}));
  const Loads carried = DeviceLoads(placed, loads, 2);
  EXPECT_DOUBLE_EQ(carried[0], 4 + 8.0 / 3 + 2);
  EXPECT_DOUBLE_EQ(carried[1], 2 * 8.0 / 3 + 2);
}

TEST(ExpertPlacementTest, HierarchicalKeepsAGroupOnANode) {
  // Groups of 10, 6, 5, 1: the first and the last on one node.
  const Loads loads = {7, 3, 4, 2, 3, 2, 1, 0};
  const Slots placed =
      PlaceExperts(kHierarchical, loads, {.devices = 4, .nodes = 2, .groups = 4, .slots = 8});
  EXPECT_EQ(placed, (Slots{0, 7, 1, 6, 2, 5, 4, 3}));
  EXPECT_EQ(DeviceLoads(placed, loads, 4), (Loads{7, 4, 6, 5}));
}

TEST(ExpertPlacementTest, ShapesThatDoNotDivideCannotBePlaced) {
  EXPECT_FALSE(CanPlace(kGlobal, 8, {.devices = 4, .slots = 7}));
  EXPECT_FALSE(CanPlace(kGlobal, 8, {.devices = 4, .slots = 10}));
  EXPECT_TRUE(CanPlace(kGlobal, 8, {.devices = 4, .nodes = 3, .groups = 5, .slots = 12}));
  EXPECT_FALSE(CanPlace(kHierarchical, 8, {.devices = 4, .nodes = 2, .groups = 1, .slots = 8}));
  EXPECT_FALSE(CanPlace(kHierarchical, 8, {.devices = 4, .nodes = 3, .groups = 3, .slots = 8}));
  EXPECT_TRUE(CanPlace(kHierarchical, 8, {.devices = 4, .nodes = 2, .groups = 4, .slots = 8}));
}

// The least possible largest load of a replica, by trying every number of replicas.
double LeastMaximum(const Loads& loads, size_t expert, int extra) {
  if (expert == loads.size()) return 0;
  double least = 1e300;
  for (int more = 0; more <= extra; ++more)
    least = std::min(
        least, std::max(loads[expert] / (1 + more), LeastMaximum(loads, expert + 1, extra - more)));
  return least;
}

TEST(ExpertPlacementPropertyTest, EveryExpertHasASlotLoadsAreKeptAndReplicasAreTheBest) {
  Random random(11);
  for (int round = 0; round < 200; ++round) {
    const int nodes = 1 + static_cast<int>(random.Below(2));
    const int devices = nodes * (1 + static_cast<int>(random.Below(3)));
    const int groups = nodes * (1 + static_cast<int>(random.Below(3)));
    const int experts = groups * devices;
    const int extra = devices * static_cast<int>(random.Below(3));
    const PlacementShape shape{
        .devices = devices, .nodes = nodes, .groups = groups, .slots = experts + extra};
    Loads loads;
    for (int e = 0; e < experts; ++e) loads.push_back(100 * random.Uniform() * random.Uniform());
    for (const PlacementPolicy policy : {kGlobal, kHierarchical}) {
      const Slots placed = PlaceExperts(policy, loads, shape);
      ASSERT_EQ(static_cast<int>(placed.size()), shape.slots);
      Slots replicas(experts), node_of(groups, -1);
      for (int s = 0; s < shape.slots; ++s) {
        ++replicas[placed[s]];
        const int node = s / (shape.slots / nodes), group = placed[s] / (experts / groups);
        EXPECT_TRUE(policy == kGlobal || node_of[group] < 0 || node_of[group] == node);
        node_of[group] = node;
      }
      EXPECT_GE(*std::min_element(replicas.begin(), replicas.end()), 1);
      const Loads carried = DeviceLoads(placed, loads, devices);
      EXPECT_NEAR(std::accumulate(carried.begin(), carried.end(), 0.0),
                  std::accumulate(loads.begin(), loads.end(), 0.0), 1e-9);
      if (policy != kGlobal || experts > 6) continue;
      double largest = 0;
      for (int e = 0; e < experts; ++e) largest = std::max(largest, loads[e] / replicas[e]);
      EXPECT_NEAR(largest, LeastMaximum(loads, 0, extra), 1e-9);
    }
  }
}

}  // namespace
}  // namespace moecast
