#include "topology/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace moecast {
namespace {

constexpr std::array<int, kAxes> kSizes = {2, 3, 4, 2, 5};  // tp cp ep edp pp: 240 GPUs
constexpr std::array<Axis, kAxes> kMegatron = {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp,
                                               Axis::kPp};

template <class Visit>
void EachOrder(Visit visit) {
  std::array<Axis, kAxes> order = kMegatron;
  do visit(order);
  while (std::next_permutation(order.begin(), order.end()));
}

TEST(PlacementTest, TheFirstAxisOfTheOrderIsInnermost) {
  const Placement p(kSizes, kMegatron);
  EXPECT_EQ(p.world(), 240);
  RankCoordinates c;
  c[Axis::kTp] = 1;
  EXPECT_EQ(p.GpuOf(c), 1);
  c[Axis::kCp] = 2;  // strides: tp 1, cp 2, ep 6, dp 24, pp 48
  EXPECT_EQ(p.GpuOf(c), 5);
  c[Axis::kPp] = 4;
  EXPECT_EQ(p.GpuOf(c), 5 + 4 * 48);
}

TEST(PlacementTest, CoordinatesAreTheInverseOfGpusInEveryOrder) {
  EachOrder([](const std::array<Axis, kAxes>& order) {
    const Placement p(kSizes, order);
    for (int gpu = 0; gpu < p.world(); ++gpu) {
      const RankCoordinates c = p.CoordinatesOf(gpu);
      for (size_t a = 0; a < kAxes; ++a) ASSERT_TRUE(c.at[a] >= 0 && c.at[a] < kSizes[a]);
      ASSERT_EQ(p.GpuOf(c), gpu);
    }
  });
}

TEST(PlacementTest, MembersOfAGroupDifferOnlyInItsAxes) {
  EachOrder([](const std::array<Axis, kAxes>& order) {
    const Placement p(kSizes, order);
    const RankCoordinates me = p.CoordinatesOf(137);
    const std::vector<int> group = p.Group(me, {Axis::kCp, Axis::kEdp});
    EXPECT_EQ(group.size(), 6u);
    EXPECT_TRUE(std::is_sorted(group.begin(), group.end()));
    EXPECT_TRUE(std::binary_search(group.begin(), group.end(), 137));
    for (const int gpu : group) {
      RankCoordinates other = p.CoordinatesOf(gpu);
      other[Axis::kCp] = me[Axis::kCp];
      other[Axis::kEdp] = me[Axis::kEdp];
      EXPECT_EQ(other.at, me.at);
    }
  });
}

TEST(PlacementTest, GroupsOfAnAxisPartitionTheWorld) {
  for (const Axis axis : kMegatron) {
    const Placement p(kSizes, kMegatron);
    std::vector<int> seen;
    for (int gpu = 0; gpu < p.world(); ++gpu) {
      const RankCoordinates c = p.CoordinatesOf(gpu);
      if (c[axis] != 0) continue;
      const std::vector<int> group = p.Group(c, {axis});
      seen.insert(seen.end(), group.begin(), group.end());
    }
    std::sort(seen.begin(), seen.end());
    std::vector<int> all(240);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(seen, all) << NameOf(axis);
  }
}

TEST(PlacementTest, AllAxesTogetherAreTheWorld) {
  const Placement p(kSizes, kMegatron);
  const auto world =
      p.Group(p.CoordinatesOf(77), {Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp});
  EXPECT_EQ(world.size(), 240u);
  EXPECT_EQ(std::adjacent_find(world.begin(), world.end()), world.end());
}

TEST(PlacementDeathTest, AnOrderThatNamesAnAxisTwiceIsOurDefect) {
  EXPECT_DEATH(Placement(kSizes, {Axis::kTp, Axis::kTp, Axis::kEp, Axis::kEdp, Axis::kPp}),
               "placement.cc");
}

}  // namespace
}  // namespace moecast
