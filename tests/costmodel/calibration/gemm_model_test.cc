#include "costmodel/calibration/gemm_model.h"

#include <gtest/gtest.h>

#include "tests/costmodel/calibration/test_machine.h"

namespace moecast {
namespace {

// 132 SMs of 7.5 TFLOP/s: 990 TFLOP/s in all.
TEST(GemmModelTest, OneWaveOfLargeTilesByHand) {
  // 12 x 11 tiles of 256 x 128 fill the 132 SMs once:
  //   2 * 256 * 128 * 4096 / (7.5e12 * 0.92) + 256 * 128 * 2 / (8e12 / 132) = 38.904 us + 1.081 us
  const TileChoice c = PickTile({256 * 12, 128 * 11, 4096}, TestMachine());
  EXPECT_EQ(c.tile_m, 256);
  EXPECT_EQ(c.tile_n, 128);
  EXPECT_EQ(c.tiles, 132);
  EXPECT_EQ(c.waves, 1);
  EXPECT_NEAR(c.compute * 1e6, 38.904 + 1.081, 0.001);
  EXPECT_EQ(c.bound(), Bound::kCompute);
  // (3072 + 1408) * 4096 * 2 + 3072 * 1408 * 2 bytes at 0.9 * 3.35 TB/s
  EXPECT_NEAR(c.memory * 1e6, (4480.0 * 4096 * 2 + 3072.0 * 1408 * 2) / 3.015e6, 0.001);
}

TEST(GemmModelTest, FewRowsAreBoundByReadingTheWeights) {
  const TileChoice c = PickTile({1, 16384, 16384}, TestMachine());
  EXPECT_EQ(c.bound(), Bound::kMemory);
  EXPECT_NEAR(c.memory * 1e6, (16384.0 * 16384 * 2 + 16384 * 2 + 16384 * 2) / 3.015e6, 0.001);
}

TEST(GemmModelTest, ADeepSumOverFewTilesIsSplit) {
  const TileChoice c = PickTile({256, 256, 65536}, TestMachine());
  EXPECT_GT(c.split, 1);
  EXPECT_LE(c.tiles, 2 * 132);
}

TEST(GemmModelTest, FewerSmsCostWholeWaves) {
  // 132 tiles of 256 x 128 at least: one wave on 132 SMs, two on 131 and on 66, whatever the tile.
  const GemmShape shape{256 * 12, 128 * 11, 8192};
  Machine all = TestMachine();
  Machine one_less = all;
  Machine half = all;
  one_less.sms = 131, half.sms = 66;
  const double t = PickTile(shape, all).compute;
  EXPECT_GT(PickTile(shape, one_less).compute, t * 1.05);
  EXPECT_LE(PickTile(shape, one_less).compute, PickTile(shape, half).compute);
}

TEST(GemmModelTest, GroupsShareWaves) {
  // 132 groups of one 128 x 256 tile are one wave, as the one GEMM of their tiles is.
  const TileChoice grouped = PickTile({128, 256, 8192, 132}, TestMachine());
  const TileChoice one = PickTile({128, 256, 8192, 1}, TestMachine());
  EXPECT_EQ(grouped.waves, 1);
  EXPECT_LE(grouped.compute, 2 * 128.0 * 256 * 8192 / (7.5e12 * 0.85) * 2);
  EXPECT_GT(grouped.memory, 100 * one.memory);
}

TEST(GemmModelTest, DeepGemmsWideBlocksAreThoseOfOneWaveOnly) {
  // Blocks of 128 x 128: 192 and 256 of them were slow, 160 and 224 and 320 were not.
  EXPECT_TRUE(IsDeepGemmWideBlock(1024, 3072, 132));
  EXPECT_TRUE(IsDeepGemmWideBlock(1024, 4096, 132));
  EXPECT_TRUE(IsDeepGemmWideBlock(8192, 512, 132));
  EXPECT_FALSE(IsDeepGemmWideBlock(512, 5120, 132));
  EXPECT_FALSE(IsDeepGemmWideBlock(512, 7168, 132));
  EXPECT_FALSE(IsDeepGemmWideBlock(1024, 5120, 132));
  EXPECT_FALSE(IsDeepGemmWideBlock(128, 4096, 132));
}

}  // namespace
}  // namespace moecast
