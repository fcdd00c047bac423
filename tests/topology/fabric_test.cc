#include "topology/fabric.h"

#include <gtest/gtest.h>

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

// "Insights into DeepSeek-V3" (arXiv 2505.09343), table 3, of 64-port switches: FT2 2,048 endpoints, 96
// switches and 2,048 links; MPFT 16,384, 768 and 16,384; FT3 65,536, 5,120 and 131,072.
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

}  // namespace
}  // namespace moecast
