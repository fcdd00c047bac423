#include "topology/fabric.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace moecast {
namespace {

constexpr BytesPerSecond kNic = GBps(50);

FabricSpec Tree(int layers, int planes = 1) {
  return {.kind = FabricKind::kFatTree, .layers = layers, .planes = planes};
}

struct Sizes {
  int leaves, spines, cores, cables;
  bool operator==(const Sizes&) const = default;
};
Sizes SizesOf(const FatTree& t) {
  return {t.leaves(), t.spines_in_all(), t.planes * t.cores_in_plane(), t.cables()};
}

// "Insights into DeepSeek-V3" (arXiv 2505.09343), table 3, of 64-port switches: FT2 2,048
// endpoints, 96 switches and 2,048 links; MPFT 16,384, 768 and 16,384; FT3 65,536, 5,120 and
// 131,072.
TEST(FabricTest, SwitchesAndCablesAreThoseOfDeepSeeksTable) {
  EXPECT_EQ(SizesOf(TreeOf(Tree(2), 256, 8, kNic)), (Sizes{64, 32, 0, 2048}));
  EXPECT_EQ(SizesOf(TreeOf(Tree(2, 8), 2048, 8, kNic)), (Sizes{512, 256, 0, 16384}));
  EXPECT_EQ(SizesOf(TreeOf(Tree(3), 8192, 8, kNic)), (Sizes{2048, 2048, 1024, 131072}));
}

// DGX SuperPOD of 4 units of 32 nodes: 32 leaves and 16 spines, two cables between each two.
TEST(FabricTest, ASuperPodHasSixteenSpines) {
  const FatTree t = TreeOf(Tree(2), 128, 8, kNic);
  EXPECT_EQ(SizesOf(t), (Sizes{32, 16, 0, 1024}));
  EXPECT_EQ(CableName(t, 2 * (3 * 32 + 7)), "unit0.leaf3.up.spine3.cable1");
}

TEST(FabricTest, OversubscriptionTakesCablesAndSpinesAway) {
  FabricSpec spec = Tree(2);
  spec.oversubscription = 2;
  EXPECT_EQ(SizesOf(TreeOf(spec, 256, 8, kNic)), (Sizes{64, 16, 0, 1024}));
  // Faster cables: half as many.
  spec = Tree(2);
  spec.cable = GBps(100);
  EXPECT_EQ(TreeOf(spec, 256, 8, kNic).leaf_cables, 16);
  spec = Tree(3);
  spec.pod_oversubscription = 2;
  const FatTree t = TreeOf(spec, 2048, 8, kNic);
  EXPECT_EQ(t.spine_cables, t.units_per_pod * t.leaves_per_unit * t.leaf_cables / t.spines / 2);
}

TEST(FabricTest, WithoutRailsAUnitHasALeafForEachPlane) {
  FabricSpec spec = Tree(2);
  spec.rail_optimised = false;
  spec.nodes_per_leaf = 4;  // 32 NICs
  EXPECT_EQ(SizesOf(TreeOf(spec, 256, 8, kNic)), (Sizes{64, 32, 0, 2048}));
  EXPECT_EQ(TreeOf(spec, 256, 8, kNic).LeafOf(5, 7), 1);
  spec.planes = 2;
  EXPECT_EQ(TreeOf(spec, 256, 8, kNic).leaves(), 128);
  EXPECT_EQ(TreeOf(spec, 256, 8, kNic).LeafOf(5, 7), 3);
}

// The last unit and the last pod need not be full.
TEST(FabricTest, ATreeMayEndWithinAUnit) {
  EXPECT_EQ(TreeOf(Tree(2), 33, 8, kNic).units, 2);
  EXPECT_EQ(TreeOf(Tree(3), 129, 8, kNic).pods, 2);
}

TEST(FabricTest, WhatCannotBeBuiltIsNamed) {
  struct Case {
    const char* what;
    FabricSpec spec;
    int nodes;
    const char *pointer, *expected;
  };
  FabricSpec planes = Tree(2, 3), full = Tree(2), odd = Tree(2), crowded = Tree(2), pod = Tree(3),
             core = Tree(3), thin = Tree(3), vast = Tree(2);
  full.nodes_per_leaf = 64;
  odd.oversubscription = 3;
  crowded.nodes_per_leaf = 40;
  pod.units_per_pod = 16;
  core.units_per_pod = 1;
  thin.pod_oversubscription = 64;
  vast.nodes_per_leaf = 1000;
  vast.switch_ports = 4096;
  const Case cases[] = {
      {"planes that do not divide", planes, 64, "/planes", "a divisor of the node's 8 NICs"},
      {"no port left", full, 64, "/nodes_per_leaf", "64 NICs of a leaf leave none of its 64 ports"},
      {"a part of a cable", odd, 64, "/oversubscription",
       "a whole number of cables upwards, not 10.6667"},
      {"more cables than ports", crowded, 64, "/nodes_per_leaf",
       "40 NICs and 40 cables upwards are more than the 64"},
      {"too large for two layers", Tree(2), 512, "/layers",
       "3, or more nodes_per_leaf or planes: 128 leaves"},
      {"a pod too large", pod, 2048, "/units_per_pod", "fewer: 128 leaves"},
      {"too many pods", core, 4096, "/units_per_pod",
       "more: 128 pods are more than the 64 ports of a core"},
      {"more than can be searched", vast, 300'000, "/nodes_per_leaf",
       "more: 2400 leaves and 2400000 cables"},
      {"a part of a core's cable", thin, 2048, "/pod_oversubscription",
       "a whole number of cables upwards, not 0.5"},
  };
  for (const Case& c : cases) {
    const auto fault = CheckFabric(c.spec, c.nodes, 8, kNic);
    ASSERT_TRUE(fault) << c.what;
    EXPECT_EQ(fault->pointer, c.pointer) << c.what;
    EXPECT_NE(fault->expected.find(c.expected), std::string::npos)
        << c.what << ": " << fault->expected;
  }
}

TEST(FabricTest, EveryCableJoinsASwitchToOneOfTheNextLayerInItsPodAndPlane) {
  for (const FabricSpec& spec : {Tree(2), Tree(2, 8), Tree(3), Tree(3, 2)}) {
    const FatTree t = TreeOf(spec, 200, 8, kNic);
    std::vector<int> below(static_cast<size_t>(t.switches())), above = below;
    for (int cable = 0; cable < t.cables(); ++cable) {
      const CableEnds ends = EndsOf(t, cable);
      ASSERT_LT(ends.lower, ends.upper);
      ASSERT_LT(ends.upper, t.switches());
      ++above[static_cast<size_t>(ends.lower)];
      ++below[static_cast<size_t>(ends.upper)];
    }
    for (int s = 0; s < t.switches(); ++s) {
      const auto i = static_cast<size_t>(s);
      if (s < t.leaves()) {
        EXPECT_EQ(above[i], t.leaf_cables);
        continue;
      }
      EXPECT_GT(below[i], 0) << SwitchName(t, s);
      EXPECT_LE(below[i] + above[i], spec.switch_ports) << SwitchName(t, s);
      EXPECT_EQ(above[i], s < t.leaves() + t.spines_in_all() ? t.spine_cables : 0);
    }
  }
}

TEST(FabricTest, NamesAreDifferent) {
  for (const FabricSpec& spec : {Tree(2), Tree(2, 4), Tree(3), Tree(3, 2)}) {
    const FatTree t = TreeOf(spec, 100, 8, kNic);
    std::set<std::string> names;
    for (int s = 0; s < t.switches(); ++s) EXPECT_TRUE(names.insert(SwitchName(t, s)).second);
    for (int c = 0; c < 2 * t.cables(); ++c)
      EXPECT_TRUE(names.insert(CableName(t, c)).second) << CableName(t, c);
    for (int b = 0; b < BundlesIn(t); ++b)
      EXPECT_TRUE(names.insert(BundleName(t, b)).second) << BundleName(t, b);
  }
}

TEST(FabricTest, AdaptiveBundlesAreTheSumOfTheirCables) {
  FabricSpec spec = Tree(3);
  const FatTree adaptive = TreeOf(spec, 256, 8, kNic);
  spec.load_balancing = LoadBalancing::kEcmp;
  const Fabric bundles(adaptive), cables(TreeOf(spec, 256, 8, kNic));
  EXPECT_EQ(cables.links().size(), 2 * static_cast<size_t>(adaptive.cables()));
  int in_all = 0;
  for (const Fabric::Link& l : bundles.links()) in_all += l.cables;
  EXPECT_EQ(in_all, 2 * adaptive.cables());
  EXPECT_EQ(bundles.NameOf(6), "unit0.leaf3.up");
  EXPECT_EQ(bundles.links()[6].cables, 32);
  // A spine of 32 takes a 32nd of every bundle of its pod; pod 1 keeps its own.
  const Fabric degraded(adaptive, {.switches = {adaptive.leaves() + 3}});
  EXPECT_EQ(degraded.links()[6].cables, 31);
  EXPECT_EQ(degraded.links()[static_cast<size_t>(2 * adaptive.leaves() - 1)].cables, 32);
}

// Hops to a leaf by going up and then down, by trying everything, under random failures.
int FewestHops(const Fabric& f, int from, int leaf, bool may_rise) {
  if (from == leaf) return 0;
  int fewest = 99;
  for (size_t l = 0; l < f.links().size(); ++l) {
    const Fabric::Link& link = f.links()[l];
    const bool up = l % 2 == 0;
    if (link.from != from || link.cables == 0 || (up && !may_rise)) continue;
    fewest = std::min(fewest, 1 + FewestHops(f, link.to, leaf, up));
  }
  return fewest;
}

TEST(FabricTest, NextHopsAreAllThatLieOnAShortestWayUpAndDown) {
  Random random(7);
  for (int round = 0; round < 40; ++round) {
    FabricSpec spec = {
        .kind = FabricKind::kFatTree,
        .layers = 2 + round % 2,
        .nodes_per_leaf = 2,
        .units_per_pod = 2,
        .switch_ports = 8,
        .load_balancing = round % 4 < 2 ? LoadBalancing::kEcmp : LoadBalancing::kAdaptive};
    const FatTree t = TreeOf(spec, 8, 2, kNic);
    FabricFailures failures;
    for (int c = 0; c < 2 * t.cables(); ++c)
      if (random.Uniform() < 0.03 * (round % 8)) failures.cables.push_back(c);
    for (int s = t.leaves(); s < t.switches(); ++s)
      if (random.Uniform() < 0.05 * (round % 3)) failures.switches.push_back(s);
    const Fabric f(t, failures);
    for (int leaf = 0; leaf < t.leaves(); ++leaf) {
      for (int from = 0; from < t.leaves(); ++from) {
        const int fewest = FewestHops(f, from, leaf, true);
        const auto hops = f.NextHops(from, leaf);
        EXPECT_EQ(hops.empty(), from == leaf || fewest == 99);
        std::set<int> expected, found(hops.begin(), hops.end());
        for (size_t l = 0; l < f.links().size(); ++l)
          if (f.links()[l].from == from && f.links()[l].cables > 0 && from != leaf && fewest < 99 &&
              1 + FewestHops(f, f.links()[l].to, leaf, l % 2 == 0) == fewest)
            expected.insert(static_cast<int>(l));
        EXPECT_EQ(found, expected) << "round " << round << ", from " << from << " to " << leaf;
      }
    }
  }
}

}  // namespace
}  // namespace moecast
