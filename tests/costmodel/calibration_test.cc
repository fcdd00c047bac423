#include "costmodel/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "costmodel/calibration/tables.h"
#include "scenarios/builtin.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

// 132 SMs of 7.5 TFLOP/s: 990 TFLOP/s in all.
Machine TestMachine() {
  return {.sms = 132, .bf16_per_sm = 7.5e12, .fp8_per_sm = 15e12, .hbm = 3.35e12, .l2 = 8e12};
}

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
  Machine all = TestMachine(), one_less = all, half = all;
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

TEST(CurveTableTest, PrintingWhatWasParsedGivesTheText) {
  const std::string text = "# a comment\nn,k,m=1,m=64\n256,512,3.142,4\n256,1024,,123500\n";
  const CurveTable t =
      ParseCurveTable(Measurements(text, "t.csv"), std::vector<std::string_view>{"n", "k"}, "m");
  EXPECT_EQ(t.points(), 3u);
  EXPECT_TRUE(std::isnan(t.At(1, 0)));
  EXPECT_EQ(PrintCurveTable(t, std::vector<std::string>{"a comment"}), text);
}

TEST(CurveTableTest, BrokenTablesAreRefused) {
  const std::vector<std::string_view> keys = {"n", "k"};
  const auto parse = [&](const char* text) {
    return ParseCurveTable(Measurements(text, "t.csv"), keys, "m");
  };
  EXPECT_THROW(parse("n,m=1\n1,2\n"), UserError);            // no k
  EXPECT_THROW(parse("n,k\n1,2\n"), UserError);              // no m
  EXPECT_THROW(parse("n,k,m=2,m=1\n1,2,3,4\n"), UserError);  // not ascending
  EXPECT_THROW(parse("n,k,m=0\n1,2,3\n"), UserError);
  EXPECT_THROW(parse("n,k,x\n1,2,3\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\n1,2,-3\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\n1,2,nan\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\na,2,3\n"), UserError);
}

// On a grid of keys 1, 2, 4, .. 64 in both, ratios given by a function of log2 of the keys and the axis.
RatioSurface Grid(double (*ratio)(double x, double y, double a)) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1, 2, 4, 8});
  for (int x = 0; x < 7; ++x)
    for (int y = 0; y < 7; ++y) {
      std::vector<double> r;
      for (int a = 0; a < 4; ++a) r.push_back(ratio(x, y, a));
      s.Add({.key = {std::exp2(x), std::exp2(y), 1, 1}, .family = x * 7 + y}, r);
    }
  s.Finish();
  return s;
}

TEST(RatioSurfaceTest, HitsMeasuredPoints) {
  const RatioSurface s =
      Grid([](double x, double y, double a) { return 1 + std::fmod(x * 3 + y * 5 + a * 7, 4); });
  for (int x = 0; x < 7; ++x)
    for (int y = 0; y < 7; ++y)
      for (int a = 0; a < 4; ++a) {
        const auto r = s.At({std::exp2(x), std::exp2(y), 1, 1}, std::exp2(a));
        EXPECT_NEAR(r.log_ratio, std::log(1 + std::fmod(x * 3 + y * 5 + a * 7, 4)), 2e-3);
        EXPECT_EQ(r.distance, 0);
        EXPECT_EQ(r.outside, 0);
      }
}

TEST(RatioSurfaceTest, APlaneInLogarithmsIsReproducedWithinATenthOfAStep) {
  const RatioSurface s =
      Grid([](double x, double y, double a) { return std::exp(0.1 * x - 0.05 * y + 0.02 * a); });
  Random random(7);
  for (int i = 0; i < 200; ++i) {
    const double x = 1 + 4 * random.Uniform(), y = 1 + 4 * random.Uniform(), a = 3 * random.Uniform();
    const auto r = s.At({std::exp2(x), std::exp2(y), 1, 1}, std::exp2(a));
    EXPECT_NEAR(r.log_ratio, 0.1 * x - 0.05 * y + 0.02 * a, 0.1 * 0.1);
  }
}

TEST(RatioSurfaceTest, BetweenTwoCurvesOfOneKeyItIsTheStraightLine) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  s.Add({.key = {2, 1, 1, 1}}, std::vector<double>{std::exp(0.1)});
  s.Add({.key = {32, 1, 1, 1}}, std::vector<double>{std::exp(0.5)});
  s.Finish();
  EXPECT_NEAR(s.At({4, 1, 1, 1}, 1).log_ratio, 0.2, 1e-6);
  EXPECT_NEAR(s.At({8, 1, 1, 1}, 1).log_ratio, 0.3, 1e-6);
  EXPECT_NEAR(s.At({8, 1, 1, 1}, 1).distance, 0.5, 1e-12);  // two octaves of four
}

TEST(RatioSurfaceTest, TwoCurvesInOnePlaceShareTheWeight) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  for (const double ratio : {1.0, 4.0}) s.Add({.key = {2, 1, 1, 1}}, std::vector<double>{ratio});
  s.Finish();
  EXPECT_NEAR(s.At({2, 1, 1, 1}, 1).log_ratio, std::log(2.0), 1e-6);
}

TEST(RatioSurfaceTest, BeyondTheRangeTheRatioStaysAndTheDistanceIsToldInOctaves) {
  const RatioSurface s = Grid([](double x, double, double) { return std::exp(0.1 * x); });
  const auto edge = s.At({64, 8, 1, 1}, 8), beyond = s.At({256, 8, 1, 1}, 32);
  EXPECT_NEAR(beyond.log_ratio, edge.log_ratio, 1e-4);  // curves that end count less there
  EXPECT_NEAR(beyond.outside, 4, 1e-12);                // two of the key, two of the axis
}

TEST(RatioSurfaceTest, TheLargestMeasuredKeyIsExact) {
  RatioSurface s(RatioSurface::Scheme::kKriging, {1});
  for (const double key : {51200.0, 3.0, 700.0}) s.Add({.key = {key, 1, 1, 1}}, std::vector<double>{1});
  s.Finish();
  EXPECT_EQ(s.Largest(0), 51200);
  EXPECT_EQ(s.Largest(1), 1);
}

TEST(RatioSurfaceTest, LeftOutCurvesAreNotLookedAt) {
  RatioSurface s(RatioSurface::Scheme::kInverseDistance, {1});
  s.Add({.key = {1, 1, 1, 1}}, std::vector<double>{1.0});
  s.Add({.key = {4, 1, 1, 1}}, std::vector<double>{2.0});
  s.Finish();
  const std::vector<char> without_first = {1, 0};
  EXPECT_NEAR(s.At({1, 1, 1, 1}, 1, without_first).log_ratio, std::log(2.0), 1e-9);
  EXPECT_NEAR(s.At({2, 1, 1, 1}, 1).log_ratio, std::log(2.0) / 2, 1e-9);  // as far from both
}

TEST(AttentionByLengthTest, FillsInProportion) {
  CurveTable t;
  t.keys = {"engine", "phase", "causal", "head_dim"};
  t.axis = "sequence";
  t.axis_values = {1024, 4096};
  t.rows = {{"A", "forward", "no", "128"},
            {"A", "forward", "no", "256"},
            {"A", "forward", "yes", "128"},
            {"A", "backward", "no", "128"}};
  t.values = {400, 400, 100, 100, 200, 300, 240, 320};
  const AttentionByLength rates(t, "t.csv");
  EXPECT_DOUBLE_EQ(rates.At("A", false, true, 128, 1024).flops_per_second, 200e12);
  EXPECT_FALSE(rates.At("A", false, true, 128, 1024).extrapolated);
  // half way in logarithms between lengths: sqrt(200 * 300)
  EXPECT_NEAR(rates.At("A", false, true, 128, 2048).flops_per_second, std::sqrt(200.0 * 300) * 1e12, 1);
  // causal backward: 240 * 200 / 400; wide causal forward: 200 * 100 / 400
  EXPECT_DOUBLE_EQ(rates.At("A", true, true, 128, 1024).flops_per_second, 120e12);
  EXPECT_TRUE(rates.At("A", true, true, 128, 1024).extrapolated);
  EXPECT_DOUBLE_EQ(rates.At("A", false, true, 256, 1024).flops_per_second, 50e12);
  EXPECT_THROW(rates.At("B", false, true, 128, 1024), UserError);
}

class BuiltinCalibration : public testing::Test {
 protected:
  static const Calibration& On(const std::string& device, const std::string& stack) {
    static std::map<std::string, Calibration> loaded;
    const auto at = loaded.find(device + stack);
    return at != loaded.end()
               ? at->second
               : loaded.emplace(device + stack, LoadCalibration(LoadDevice(device), stack)).first->second;
  }
  static void ExpectSound(const Calibration& c, const Cost& cost) {
    EXPECT_GT(cost.time.value, 0);
    EXPECT_TRUE(std::isfinite(cost.time.value));
    EXPECT_GE(cost.sigma_table, 0);
    EXPECT_GT(cost.sigma_table + cost.sigma_own, 0);
    EXPECT_LT(cost.source, c.sources().size());
  }
};

TEST_F(BuiltinCalibration, EveryQueryIsSoundOnRandomShapes) {
  Random random(11);
  const auto size = [&](int low, int high) {
    return static_cast<int64_t>(std::exp2(low + (high - low) * random.Uniform()));
  };
  constexpr Dtype kDtypes[] = {Dtype::kFp32, Dtype::kBf16, Dtype::kFp8, Dtype::kFp8Block};
  for (const char* stack : {"2025", "2024h1"})
    for (const char* device : {"h100", "h800", "h200"}) {
      const Calibration& c = On(device, stack);
      for (int i = 0; i < 200; ++i) {
        const Dtype d = kDtypes[random.Below(4)];
        const auto pass = static_cast<GemmPass>(random.Below(3));
        const int sms = static_cast<int>(random.Below(133));
        ExpectSound(c, c.Gemm({size(0, 18), size(0, 18), size(0, 18), d, pass, Dtype::kFp32, sms}));
        ExpectSound(c, c.GroupedGemm(
                           {size(0, 9), size(0, 18), size(4, 16), size(4, 16), d, pass, Dtype::kFp32, sms}));
        AttentionQuery a;
        a.phase = static_cast<AttentionPhase>(random.Below(4));
        a.heads = size(0, 8), a.kv_heads = std::max<int64_t>(1, a.heads / 8), a.batch = size(0, 10);
        if (random.Below(2)) a.qk_dim = 192, a.kv_heads = a.heads;
        a.context = size(0, 18), a.query = a.phase == AttentionPhase::kDecode ? 1 : size(0, 1) * a.context;
        a.causal = random.Below(2);
        a.dtype = d == Dtype::kFp32 ? Dtype::kBf16 : d;
        ExpectSound(c, c.Attention(a));
        ExpectSound(c, c.MlaDecode({size(0, 8), size(0, 11), size(0, 18), 4 + 12 * random.Uniform()}));
        ExpectSound(c,
                    c.Moe({size(0, 18), size(8, 14), size(6, 15), 64, 6, int64_t{1} << random.Below(7), d}));
        ExpectSound(c, c.Elementwise(static_cast<ElementwiseKind>(random.Below(kElementwiseKinds)),
                                     Bytes(static_cast<double>(size(0, 36)))));
      }
    }
}

// Every seventh curve of a built-in table: key, axis, microseconds.
struct Measured {
  std::vector<double> key;
  double axis, us;
};
std::vector<Measured> BuiltinPoints(TableId id) {
  const TableKind& kind = KindOf(id);
  const std::string path = "calibrations/2025/" + std::string(kind.name) + ".csv";
  const CurveTable t =
      ParseCurveTable(Measurements(std::string(*BuiltinText(path)), path), kind.keys, kind.axis);
  std::vector<Measured> points;
  for (size_t r = 0; r < t.rows.size(); r += 7)
    for (size_t i = 0; i < t.axis_values.size(); ++i) {
      if (std::isnan(t.At(r, i))) continue;
      Measured p{{}, t.axis_values[i], t.At(r, i)};
      for (size_t k = 0; k < kind.keys.size(); ++k) p.key.push_back(t.KeyNumber(r, k));
      points.push_back(p);
    }
  return points;
}
int64_t I(double x) {
  return std::llround(x);
}

TEST_F(BuiltinCalibration, MeasuredPointsAreHit) {
  const Calibration& c = On("h100", "2025");
  const auto expect = [](const Cost& cost, const Measured& p) {
    EXPECT_NEAR(cost.time.value * 1e6 / p.us, 1, 2e-3);
    EXPECT_FALSE(cost.extrapolated);
  };
  for (const Measured& p : BuiltinPoints(TableId::kGemmBf16))
    expect(c.Gemm({I(p.axis), I(p.key[0]), I(p.key[1])}), p);
  for (const Measured& p : BuiltinPoints(TableId::kGemmFp8Block))
    expect(c.Gemm({I(p.axis), I(p.key[0]), I(p.key[1]), Dtype::kFp8Block}), p);
  for (const Measured& p : BuiltinPoints(TableId::kMlaDecodeFp8))
    expect(c.MlaDecode({I(p.key[0]), I(p.key[1]), I(p.axis), 8}), p);
  for (const Measured& p : BuiltinPoints(TableId::kMlaPrefill)) {
    const AttentionQuery q{
        AttentionPhase::kPrefill, I(p.key[0]), I(p.key[0]), 192, 128, I(p.key[1]), I(p.axis), I(p.axis)};
    expect(c.Attention(q), p);
  }
  for (const Measured& p : BuiltinPoints(TableId::kAttentionDecodeBf16)) {
    const AttentionQuery q{
        AttentionPhase::kDecode, I(p.key[0]), I(p.key[1]), 128, 128, I(p.key[2]), 1, I(p.axis)};
    expect(c.Attention(q), p);
  }
  for (const Measured& p : BuiltinPoints(TableId::kMoeFp8Block))
    expect(
        c.Moe({I(p.axis), I(p.key[0]), I(p.key[1]), I(p.key[2]), I(p.key[3]), I(p.key[4]), Dtype::kFp8Block}),
        p);
}

TEST_F(BuiltinCalibration, AnInputGradientIsTheProductOfItsOwnShape) {
  const Calibration& c = On("h800", "2025");
  const Cost dgrad = c.Gemm({4096, 24576, 1536, Dtype::kBf16, GemmPass::kDgrad});
  EXPECT_EQ(dgrad.time, c.Gemm({4096, 1536, 24576}).time);
}

TEST_F(BuiltinCalibration, AWeightGradientAddsFactorAndExposedMainGradient) {
  // The product (n, k, m) takes t; 24576 * 1536 elements are read and written in fp32 where t counted one
  // bf16 write:
  //   1.05 t + 0.5 * 37,748,736 * 6 B / 3350 GB/s = 1.05 t + 33.80 us;   bf16: 0.5 * 37,748,736 * 2 B / 3350
  //   GB/s = 11.27 us
  const Calibration& c = On("h800", "2025");
  const Cost product = c.Gemm({24576, 1536, 4096});
  const Cost fp32 = c.Gemm({4096, 24576, 1536, Dtype::kBf16, GemmPass::kWgrad, Dtype::kFp32});
  const Cost bf16 = c.Gemm({4096, 24576, 1536, Dtype::kBf16, GemmPass::kWgrad, Dtype::kBf16});
  EXPECT_NEAR((fp32.time - 1.05 * product.time).value * 1e6, 33.80, 0.01);
  EXPECT_NEAR((bf16.time - 1.05 * product.time).value * 1e6, 11.27, 0.01);
  EXPECT_TRUE(fp32.extrapolated);
  EXPECT_GT(fp32.sigma_table, product.sigma_table);
}

TEST_F(BuiltinCalibration, FewerSmsSlowAComputeBoundGemmByWholeWaves) {
  const Calibration& c = On("h800", "2025");
  const double all = c.Gemm({8192, 8192, 8192}).time.value;
  const double most =
      c.Gemm({8192, 8192, 8192, Dtype::kBf16, GemmPass::kForward, Dtype::kFp32, 112}).time.value;
  const double half =
      c.Gemm({8192, 8192, 8192, Dtype::kBf16, GemmPass::kForward, Dtype::kFp32, 66}).time.value;
  EXPECT_GT(most, all);
  EXPECT_NEAR(half / all, 2, 0.1);
  // One row of 16384 x 16384: bound by memory, which 66 SMs still saturate.
  const double row = c.Gemm({1, 16384, 16384}).time.value;
  EXPECT_NEAR(c.Gemm({1, 16384, 16384, Dtype::kBf16, GemmPass::kForward, Dtype::kFp32, 66}).time.value / row,
              1, 0.02);
}

TEST_F(BuiltinCalibration, TheH200IsFasterByItsMemoryWhereMemoryBinds) {
  const Calibration &h100 = On("h100", "2025"), &h200 = On("h200", "2025"), &h800 = On("h800", "2025");
  const auto ratio = [&](const GemmQuery& q) { return h100.Gemm(q).time / h200.Gemm(q).time; };
  EXPECT_NEAR(ratio({8192, 8192, 8192}), 1, 1e-9);
  const double streaming = ratio({1, 16384, 16384});
  EXPECT_GT(streaming, 1.4);
  EXPECT_LT(streaming, 4800.0 / 3350);  // launch and prologue do not shrink
  EXPECT_NEAR(h100.Elementwise(ElementwiseKind::kAdd, GB(10)).time /
                  h200.Elementwise(ElementwiseKind::kAdd, GB(10)).time,
              4800.0 / 3350, 1e-3);
  EXPECT_EQ(h800.Gemm({4096, 7168, 2048}).time, h100.Gemm({4096, 7168, 2048}).time);
}

TEST_F(BuiltinCalibration, ElementwiseByHand) {
  // 335 MB of add at 88% of 3350 GB/s and 2 us of launch: 113.64 + 2 us.
  const Cost cost = On("h800", "2025").Elementwise(ElementwiseKind::kAdd, MB(335));
  EXPECT_NEAR(cost.time.value * 1e6, 113.636 + 2, 1e-3);
  EXPECT_EQ(cost.bound, Bound::kMemory);
  EXPECT_EQ(On("h800", "2025").Elementwise(ElementwiseKind::kAdd, MB(1)).bound, Bound::kLatency);
}

TEST_F(BuiltinCalibration, FlashAttention2InTrainingByHand) {
  // 32 heads of 128, 4 sequences of 4096, causal forward at 319 TFLOP/s (the figure):
  //   pairs 4096 * 4097 / 2 = 8,390,656; 2 * 256 * 8,390,656 * 32 * 4 = 549.9 GFLOP -> 1723.8 us and 5 us of
  //   launch.
  const Calibration& c = On("h800", "2024h1");
  AttentionQuery q{AttentionPhase::kTrainForward, 32, 32, 128, 128, 4, 4096, 4096};
  EXPECT_NEAR(c.Attention(q).time.value * 1e6, 549.898e3 / 319 + 5, 0.5);
  // Backward: 2.5 times that at 310 * 319 / 368 = 268.7 TFLOP/s: non-causal backward by the forward's causal
  // share.
  q.phase = AttentionPhase::kTrainBackward;
  const Cost backward = c.Attention(q);
  EXPECT_NEAR(backward.time.value * 1e6, 2.5 * 549.898e3 / (310.0 * 319 / 368) + 5, 1.5);
  EXPECT_TRUE(backward.extrapolated);
}

TEST_F(BuiltinCalibration, FlashAttention2PadsMlasValuesToTheKeys) {
  // 192 + 192 where 192 + 128 are needed; the rate of 192 lies between those of 128 and 256.
  const Calibration& c = On("h800", "2024h1");
  const AttentionQuery mla{AttentionPhase::kTrainForward, 128, 128, 192, 128, 1, 4096, 4096};
  const double flops = 2 * 384.0 * (4096.0 * 4097 / 2) * 128;
  const double reached = flops / (c.Attention(mla).time.value - 5e-6) * 1e-12;
  EXPECT_LT(reached, 319);
  EXPECT_GT(reached, 319.0 * 293 / 368);
}

TEST_F(BuiltinCalibration, TheOlderStackIsSlowerWhereItsKernelsAreAndTheSameElsewhere) {
  const Calibration &now = On("h800", "2025"), &then = On("h800", "2024h1");
  const GemmQuery block{4096, 24576, 1536, Dtype::kFp8Block};
  EXPECT_EQ(now.Gemm(block).time, then.Gemm(block).time);
  const Cost gemm = now.Gemm({4096, 24576, 1536}), older = then.Gemm({4096, 24576, 1536});
  EXPECT_GT(older.time / gemm.time, 1.05);
  EXPECT_LT(older.time / gemm.time, 1.15);
  EXPECT_GT(older.sigma_own, gemm.sigma_own);
  EXPECT_NE(then.sources()[older.source].find("gemm_bf16: projections of Llama-2-70B"), std::string::npos);
  EXPECT_NE(now.sources()[gemm.source].find("gemm_bf16: TensorRT-LLM"), std::string::npos);
  const GroupedGemmQuery experts{20, 30720, 3072, 5120};
  EXPECT_NEAR(then.GroupedGemm(experts).time / now.GroupedGemm(experts).time, 1.3, 1e-9);
  EXPECT_GT(then.GroupedGemm(experts).sigma_table, now.GroupedGemm(experts).sigma_table);
  for (const AttentionPhase phase : {AttentionPhase::kTrainForward, AttentionPhase::kTrainBackward}) {
    const AttentionQuery mla{phase, 128, 128, 192, 128, 1, 4096, 4096};
    EXPECT_GT(then.Attention(mla).time.value, 1.3 * now.Attention(mla).time.value);
  }
}

// DeepGEMM README of 2025-04 (MIT), H800, grouped contiguous layout: groups, rows a group, n, k,
// microseconds.
TEST_F(BuiltinCalibration, GroupedBlockScaledGemmsAreWithin15PercentOfDeepGemms) {
  struct {
    int64_t groups, rows, n, k;
    double us;
  } const cases[] = {{4, 8192, 4096, 7168, 1429.53},
                     {4, 8192, 7168, 2048, 792.48},
                     {8, 4096, 4096, 7168, 1429.53},
                     {8, 4096, 7168, 2048, 792.48}};
  const Calibration& c = On("h800", "2025");
  for (const auto& s : cases)
    EXPECT_NEAR(
        c.GroupedGemm({s.groups, s.groups * s.rows, s.n, s.k, Dtype::kFp8Block}).time.value * 1e6 / s.us, 1,
        0.15);
}

// All groups together have 32 x 4096 = 131,072 columns, twice those of the widest measured product: the ratio
// is the one at 65,536, and no error is added for lying outside.
TEST_F(BuiltinCalibration, AGroupedProductWiderThanTheTableHasTheRatioOfItsEdge) {
  const Calibration& c = On("h800", "2025");
  const Machine machine = MachineOf(c.device());
  const auto ratio = [](const Cost& cost, const GemmShape& s, const Machine& m) {
    return cost.time.value / PickTile(s, m).seconds();
  };
  const double grouped = ratio(c.GroupedGemm({32, 32 * 1024, 4096, 4096}), {1024, 4096, 4096, 32}, machine);
  EXPECT_NEAR(grouped, ratio(c.Gemm({1024, 65536, 4096}), {1024, 65536, 4096, 1}, machine), 1e-9);
  EXPECT_EQ(c.GroupedGemm({32, 32 * 1024, 4096, 4096}).sigma_curve, c.Gemm({1024, 65536, 4096}).sigma_curve);
}

TEST_F(BuiltinCalibration, EveryExpertsWeightsAreRead) {
  // 160 experts of 2 rows stream 160 * 3072 * 5120 * 2 B = 5.03 GB: 1502 us at 3350 GB/s at the very least.
  const Cost cost = On("h800", "2025").GroupedGemm({160, 320, 3072, 5120});
  EXPECT_GT(cost.time.value, 5.03e9 / 3.35e12);
  EXPECT_EQ(cost.bound, Bound::kMemory);
}

TEST_F(BuiltinCalibration, FewerBitsOfCacheAreFasterWhereTheCacheBinds) {
  const Calibration& c = On("h800", "2025");
  EXPECT_LT(c.MlaDecode({16, 128, 32768, 8}).time.value, 0.75 * c.MlaDecode({16, 128, 32768, 16}).time.value);
  EXPECT_LT(c.MlaDecode({16, 128, 32768, 6}).time.value, c.MlaDecode({16, 128, 32768, 8}).time.value);
  EXPECT_TRUE(c.MlaDecode({16, 128, 32768, 6}).extrapolated);
}

TEST_F(BuiltinCalibration, ErrorsGrowAwayFromMeasuredCurvesAndBeyondTheirRange) {
  const Calibration& c = On("h800", "2025");
  const Cost on = c.Gemm({4096, 8192, 8192}), between = c.Gemm({4096, 9216, 9216}),
             beyond = c.Gemm({4096, 262144, 8192});
  EXPECT_LT(on.sigma_own, between.sigma_own);
  EXPECT_LT(on.sigma_curve, between.sigma_curve);
  EXPECT_LT(between.sigma_curve, beyond.sigma_curve);
  EXPECT_TRUE(beyond.extrapolated);
  EXPECT_FALSE(between.extrapolated);
}

TEST_F(BuiltinCalibration, AllRowsOfOneWeightErrAlikeInEveryStackAndOnEveryDevice) {
  const Calibration &now = On("h800", "2025"), &then = On("h100", "2024h1");
  const uint64_t curve = now.Gemm({4096, 24576, 1536}).curve;
  EXPECT_NE(curve, 0u);
  EXPECT_EQ(curve, now.Gemm({128, 24576, 1536}).curve);
  EXPECT_EQ(curve, then.Gemm({128, 24576, 1536}).curve);
  // The input gradient is another product, and the one of (k, n) is the same.
  EXPECT_NE(curve, now.Gemm({4096, 24576, 1536, Dtype::kBf16, GemmPass::kDgrad}).curve);
  EXPECT_EQ(curve, now.Gemm({4096, 1536, 24576, Dtype::kBf16, GemmPass::kDgrad}).curve);
  EXPECT_NE(curve, now.Gemm({4096, 24576, 1536, Dtype::kFp8}).curve);
  EXPECT_EQ(now.Elementwise(ElementwiseKind::kAdd, MB(1)).curve, 0u);
  EXPECT_EQ(now.Elementwise(ElementwiseKind::kAdd, MB(1)).sigma_curve, 0);
}

TEST_F(BuiltinCalibration, PrefillOfAnFp8CacheAndFp8AbsorbedProductsHaveTheirTables) {
  const Calibration& c = On("h100", "2025");
  AttentionQuery q{AttentionPhase::kPrefill, 16, 16, 192, 128, 1, 8192, 8192};
  EXPECT_NE(c.sources()[c.Attention(q).source].find("mla_prefill:"), std::string::npos);
  q.kv_dtype = Dtype::kFp8;
  EXPECT_NE(c.sources()[c.Attention(q).source].find("mla_prefill_fp8:"), std::string::npos);
  const Cost up = c.GroupedGemm({16, 16 * 1024, 512, 128, Dtype::kFp8});
  EXPECT_NE(c.sources()[up.source].find("mla_bmm_fp8:"), std::string::npos);
}

}  // namespace
}  // namespace moecast
