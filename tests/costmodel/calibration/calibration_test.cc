#include "costmodel/calibration/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "base/error.h"
#include "base/random.h"
#include "costmodel/calibration/tables.h"
#include "scenarios/builtin.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

class BuiltinCalibration : public testing::Test {
 protected:
  static constexpr HeadSizes kLatent{512 + 64,
                                     512};  // DeepSeek-V2's, which the tables were measured with

  static AttentionQuery Mla(AttentionPhase phase, int64_t heads, int64_t batch, int64_t tokens) {
    AttentionQuery q{phase, heads, heads, 128 + 64, 128, batch, tokens, tokens};
    q.form = AttentionForm::kMla;
    return q;
  }
  static const Calibration& On(const std::string& device, const std::string& stack) {
    static std::map<std::string, Calibration> loaded;
    const auto at = loaded.find(device + stack);
    return at != loaded.end()
               ? at->second
               : loaded.emplace(device + stack, LoadCalibration(LoadDevice(device), stack))
                     .first->second;
  }
  static void ExpectSound(const Calibration& c, const Cost& cost) {
    EXPECT_GT(cost.time.value, 0);
    EXPECT_TRUE(std::isfinite(cost.time.value));
    EXPECT_GE(cost.sigma_table, 0);
    EXPECT_GT(cost.sigma_table + cost.sigma_own, 0);
    EXPECT_LT(static_cast<size_t>(cost.source), c.sources().size());
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
        ExpectSound(c, c.GroupedGemm({size(0, 9), size(0, 18), size(4, 16), size(4, 16), d, pass,
                                      Dtype::kFp32, sms}));
        AttentionQuery a;
        a.phase = static_cast<AttentionPhase>(random.Below(4));
        a.heads = size(0, 8), a.kv_heads = std::max<int64_t>(1, a.heads / 8), a.batch = size(0, 10);
        if (random.Below(2)) a.qk_dim = 192, a.kv_heads = a.heads, a.form = AttentionForm::kMla;
        a.context = size(0, 18),
        a.query = a.phase == AttentionPhase::kDecode ? 1 : size(0, 1) * a.context;
        a.causal = random.Below(2);
        a.dtype = d == Dtype::kFp32 ? Dtype::kBf16 : d;
        ExpectSound(c, c.Attention(a));
        ExpectSound(c, c.MlaDecode({size(0, 8), size(0, 11), size(0, 18), 4 + 12 * random.Uniform(),
                                    kLatent}));
        ExpectSound(c, c.Moe({size(0, 18), size(8, 14), size(6, 15), 64, 6,
                              int64_t{1} << random.Below(7), d}));
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
    expect(c.MlaDecode({I(p.key[0]), I(p.key[1]), I(p.axis), 8, kLatent}), p);
  for (const Measured& p : BuiltinPoints(TableId::kMlaPrefill))
    expect(c.Attention(Mla(AttentionPhase::kPrefill, I(p.key[0]), I(p.key[1]), I(p.axis))), p);
  for (const Measured& p : BuiltinPoints(TableId::kAttentionDecodeBf16)) {
    const AttentionQuery q{
        AttentionPhase::kDecode, I(p.key[0]), I(p.key[1]), 128, 128, I(p.key[2]), 1, I(p.axis)};
    expect(c.Attention(q), p);
  }
  for (const Measured& p : BuiltinPoints(TableId::kMoeFp8Block))
    expect(c.Moe({I(p.axis), I(p.key[0]), I(p.key[1]), I(p.key[2]), I(p.key[3]), I(p.key[4]),
                  Dtype::kFp8Block}),
           p);
}

TEST_F(BuiltinCalibration, AnInputGradientIsTheProductOfItsOwnShape) {
  const Calibration& c = On("h800", "2025");
  const Cost dgrad = c.Gemm({4096, 24576, 1536, Dtype::kBf16, GemmPass::kDgrad});
  EXPECT_EQ(dgrad.time, c.Gemm({4096, 1536, 24576}).time);
}

TEST_F(BuiltinCalibration, AWeightGradientAddsFactorAndExposedMainGradient) {
  // The product (n, k, m) takes t; 24576 * 1536 elements are read and written in fp32 where t
  // counted one bf16 write:
  //   1.05 t + 0.5 * 37,748,736 * 6 B / 3350 GB/s = 1.05 t + 33.80 us
  //   bf16: 0.5 * 37,748,736 * 2 B / 3350 GB/s = 11.27 us
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
  EXPECT_NEAR(
      c.Gemm({1, 16384, 16384, Dtype::kBf16, GemmPass::kForward, Dtype::kFp32, 66}).time.value /
          row,
      1, 0.02);
}

TEST_F(BuiltinCalibration, TheH200IsFasterByItsMemoryWhereMemoryBinds) {
  const Calibration& h100 = On("h100", "2025");
  const Calibration& h200 = On("h200", "2025");
  const Calibration& h800 = On("h800", "2025");
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
  //   pairs 4096 * 4097 / 2 = 8,390,656; 2 * 256 * 8,390,656 * 32 * 4 = 549.9 GFLOP -> 1723.8 us
  //     and 5 us of launch.
  const Calibration& c = On("h800", "2024h1");
  AttentionQuery q{AttentionPhase::kTrainForward, 32, 32, 128, 128, 4, 4096, 4096};
  EXPECT_NEAR(c.Attention(q).time.value * 1e6, 549.898e3 / 319 + 5, 0.5);
  // Backward: 2.5 times that at 310 * 319 / 368 = 268.7 TFLOP/s: non-causal backward by the
  // forward's causal share.
  q.phase = AttentionPhase::kTrainBackward;
  const Cost backward = c.Attention(q);
  EXPECT_NEAR(backward.time.value * 1e6, 2.5 * 549.898e3 / (310.0 * 319 / 368) + 5, 1.5);
  EXPECT_TRUE(backward.extrapolated);
}

TEST_F(BuiltinCalibration, FlashAttention2PadsMlasValuesToTheKeys) {
  // 192 + 192 where 192 + 128 are needed; the rate of 192 lies between those of 128 and 256.
  const Calibration& c = On("h800", "2024h1");
  const AttentionQuery mla = Mla(AttentionPhase::kTrainForward, 128, 1, 4096);
  const double flops = 2 * 384.0 * (4096.0 * 4097 / 2) * 128;
  const double reached = flops / (c.Attention(mla).time.value - 5e-6) * 1e-12;
  EXPECT_LT(reached, 319);
  EXPECT_GT(reached, 319.0 * 293 / 368);
}

TEST_F(BuiltinCalibration, TheBackwardOfMlaIsFiveProductsForTwoAtTheRatesOfFlashAttention3) {
  // dv, dp, dq, dk and the scores again where the forward has the scores and the values: 5/2 of its
  // flops. On the measured forward, at the rates of the figures for heads of 128 and no mask
  // (attention_by_length.csv, FlashAttention-3): 638 TFLOP/s forward and 542 backward at 4096, 646
  // and 559 at 8192.
  const Calibration& c = On("h800", "2025");
  for (const auto& [length, forward, backward] :
       {std::tuple(4096, 638.0, 542.0), {8192, 646.0, 559.0}}) {
    AttentionQuery q = Mla(AttentionPhase::kTrainForward, 128, 1, length);
    const Seconds alone = c.Attention(q).time;
    q.phase = AttentionPhase::kTrainBackward;
    EXPECT_NEAR(c.Attention(q).time / alone, 5.0 / 2 * forward / backward, 1e-12);
  }
}

TEST_F(BuiltinCalibration, TheOlderStackIsSlowerWhereItsKernelsAreAndTheSameElsewhere) {
  const Calibration &now = On("h800", "2025"), &then = On("h800", "2024h1");
  const GemmQuery block{4096, 24576, 1536, Dtype::kFp8Block};
  EXPECT_EQ(now.Gemm(block).time, then.Gemm(block).time);
  const Cost gemm = now.Gemm({4096, 24576, 1536}), older = then.Gemm({4096, 24576, 1536});
  EXPECT_GT(older.time / gemm.time, 1.05);
  EXPECT_LT(older.time / gemm.time, 1.15);
  EXPECT_GT(older.sigma_own, gemm.sigma_own);
  EXPECT_NE(TextOf(then.sources()[older.source]).find("gemm_bf16: projections of Llama-2-70B"),
            std::string::npos);
  EXPECT_NE(TextOf(now.sources()[gemm.source]).find("gemm_bf16: TensorRT-LLM"), std::string::npos);
  const GroupedGemmQuery experts{20, 30720, 3072, 5120};
  EXPECT_NEAR(then.GroupedGemm(experts).time / now.GroupedGemm(experts).time, 1.3, 1e-9);
  EXPECT_GT(then.GroupedGemm(experts).sigma_table, now.GroupedGemm(experts).sigma_table);
  for (const AttentionPhase phase :
       {AttentionPhase::kTrainForward, AttentionPhase::kTrainBackward}) {
    const AttentionQuery mla = Mla(phase, 128, 1, 4096);
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
        c.GroupedGemm({s.groups, s.groups * s.rows, s.n, s.k, Dtype::kFp8Block}).time.value * 1e6 /
            s.us,
        1, 0.15);
}

// All groups together have 32 x 4096 = 131,072 columns, twice those of the widest measured product:
// the ratio is the one at 65,536, and no error is added for lying outside.
TEST_F(BuiltinCalibration, AGroupedProductWiderThanTheTableHasTheRatioOfItsEdge) {
  const Calibration& c = On("h800", "2025");
  const Machine machine = MachineOf(c.device());
  const auto ratio = [](const Cost& cost, const GemmShape& s, const Machine& m) {
    return cost.time.value / PickTile(s, m).seconds();
  };
  const double grouped =
      ratio(c.GroupedGemm({32, 32 * 1024, 4096, 4096}), {1024, 4096, 4096, 32}, machine);
  EXPECT_NEAR(grouped, ratio(c.Gemm({1024, 65536, 4096}), {1024, 65536, 4096, 1}, machine), 1e-9);
  EXPECT_EQ(c.GroupedGemm({32, 32 * 1024, 4096, 4096}).sigma_curve,
            c.Gemm({1024, 65536, 4096}).sigma_curve);
}

TEST_F(BuiltinCalibration, EveryExpertsWeightsAreRead) {
  // 160 experts of 2 rows stream 160 * 3072 * 5120 * 2 B = 5.03 GB: 1502 us at 3350 GB/s at the
  // very least.
  const Cost cost = On("h800", "2025").GroupedGemm({160, 320, 3072, 5120});
  EXPECT_GT(cost.time.value, 5.03e9 / 3.35e12);
  EXPECT_EQ(cost.bound, Bound::kMemory);
}

TEST_F(BuiltinCalibration, FewerBitsOfCacheAreFasterWhereTheCacheBinds) {
  const Calibration& c = On("h800", "2025");
  EXPECT_LT(c.MlaDecode({16, 128, 32768, 8, kLatent}).time.value,
            0.75 * c.MlaDecode({16, 128, 32768, 16, kLatent}).time.value);
  EXPECT_LT(c.MlaDecode({16, 128, 32768, 6, kLatent}).time.value,
            c.MlaDecode({16, 128, 32768, 8, kLatent}).time.value);
  EXPECT_TRUE(c.MlaDecode({16, 128, 32768, 6, kLatent}).extrapolated);
}

TEST_F(BuiltinCalibration, ErrorsGrowAwayFromMeasuredCurvesAndBeyondTheirRange) {
  const Calibration& c = On("h800", "2025");
  const Cost on = c.Gemm({4096, 8192, 8192});
  const Cost between = c.Gemm({4096, 9216, 9216});
  const Cost beyond = c.Gemm({4096, 262144, 8192});
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
  AttentionQuery q = Mla(AttentionPhase::kPrefill, 16, 1, 8192);
  EXPECT_NE(TextOf(c.sources()[c.Attention(q).source]).find("mla_prefill:"), std::string::npos);
  q.kv_dtype = Dtype::kFp8;
  EXPECT_NE(TextOf(c.sources()[c.Attention(q).source]).find("mla_prefill_fp8:"), std::string::npos);
  GroupedGemmQuery heads{16, 16 * 1024, 512, 128, Dtype::kFp8};
  EXPECT_NE(TextOf(c.sources()[c.GroupedGemm(heads).source]).find("grouped_fp8:"),
            std::string::npos);
  heads.batched = true;
  const Cost up = c.GroupedGemm(heads);
  EXPECT_NE(TextOf(c.sources()[up.source]).find("mla_bmm_fp8:"), std::string::npos);
}

// Heads of 192 and 128 are MLA where the query says so, and grouped heads of an odd size where it
// does not; other sizes of MLA have its table too, beyond what was measured.
TEST_F(BuiltinCalibration, WhatAttentionIsFollowsFromTheQueryNotFromItsSizes) {
  const Calibration& c = On("h100", "2025");
  const auto source = [&](const AttentionQuery& q) {
    return TextOf(c.sources()[c.Attention(q).source]);
  };
  AttentionQuery q = Mla(AttentionPhase::kPrefill, 16, 1, 8192);
  EXPECT_FALSE(c.Attention(q).extrapolated);
  q.qk_dim = 96, q.v_dim = 64;
  EXPECT_EQ(source(q).substr(0, 12), "mla_prefill:");
  EXPECT_TRUE(c.Attention(q).extrapolated);
  q.qk_dim = 192, q.v_dim = 128, q.form = AttentionForm::kHeads;
  EXPECT_EQ(source(q).substr(0, 23), "attention_prefill_bf16:");
  EXPECT_TRUE(c.Attention(q).extrapolated);
  q.qk_dim = 128;
  EXPECT_FALSE(c.Attention(q).extrapolated);
}

// Half the latent, half the bytes: 128 sequences of 32768 keys of 288 elements against 576.
TEST_F(BuiltinCalibration, AnotherLatentIsEstimatedByItsBytes) {
  const Calibration& c = On("h800", "2025");
  const Cost measured = c.MlaDecode({16, 128, 32768, 16, kLatent}),
             half = c.MlaDecode({16, 128, 32768, 16, {256 + 32, 256}});
  EXPECT_NEAR(half.time / measured.time, 0.5, 0.01);
  EXPECT_FALSE(measured.extrapolated);
  EXPECT_TRUE(half.extrapolated);
  EXPECT_EQ(c.MeasuredHeads(TableId::kMlaDecodeBf16), kLatent);
}

}  // namespace
}  // namespace moecast
