#include "costmodel/calibration/table_kinds.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "costmodel/causal_pairs.h"

namespace moecast {
namespace {

constexpr Known kAttentionLaunch = {
    5e-6, "smallest attention calls of the measured tables take 5-15 us, helper kernels included"};
constexpr Known kMoeLaunch = {
    25e-6, "smallest fused MoE calls of the measured tables take 25-40 us: about eight kernels"};
constexpr Known kMoeStreamed = {
    0.65, "share of HBM bandwidth that gathering and scattering rows reach (elementwise_permute)"};
constexpr Known kMoeBlockRate = {
    0.5,
    "block-scaled grouped kernel of TensorRT-LLM on Hopper: half of fp8's rate "
    "at 256 rows an expert and more in "
    "every family of the moe_fp8_block table"};
constexpr double kQueryBlock = 128;  // rows a thread block of FlashAttention handles
constexpr double kWgmmaRows = 64;

double D(int64_t x) {
  return static_cast<double>(x);
}

template <Dtype kType>
double GemmBaseline(std::span<const double> key, double m, const HeadSizes&,
                    const Machine& machine) {
  const GemmShape shape{std::llround(m), std::llround(key[0]), std::llround(key[1]), 1, kType};
  if (kType == Dtype::kFp8Block && IsDeepGemmWideBlock(shape.m, shape.n, machine.sms))
    return DeepGemmWideBlockSeconds(shape.k);
  return PickTile(shape, machine).seconds();
}

double GemmWork(std::span<const double> key, double m, const HeadSizes&) {
  return 2 * m * key[0] * key[1];
}

template <Dtype kType>
double BmmBaseline(std::span<const double> key, double tokens, const HeadSizes&,
                   const Machine& machine) {
  const GemmShape shape{std::llround(tokens), std::llround(key[0]), std::llround(key[1]),
                        std::llround(key[2]), kType};
  return PickTile(shape, machine).seconds();
}
double BmmWork(std::span<const double> key, double tokens, const HeadSizes&) {
  return 2 * tokens * key[0] * key[1] * key[2];
}

AttentionWork MlaPrefill(std::span<const double> key, double query, const HeadSizes& heads,
                         double kv_bytes) {
  return {key[0], key[0], D(heads.qk), D(heads.v), key[1], query, query, true, false, kv_bytes};
}
template <int kBits>
double MlaPrefillBaseline(std::span<const double> key, double query, const HeadSizes& heads,
                          const Machine& machine) {
  return AttentionRoofline(MlaPrefill(key, query, heads, kBits / 8.0), machine).seconds();
}
double MlaPrefillWork(std::span<const double> key, double query, const HeadSizes& heads) {
  return MlaPrefill(key, query, heads, 2).flops();
}

MlaDecodeWork MlaDecode(std::span<const double> key, double context, const HeadSizes& heads,
                        double kv_bits) {
  return {key[0], key[1], context, D(heads.qk), D(heads.v), kv_bits};
}
template <int kBits>
double MlaDecodeBaseline(std::span<const double> key, double context, const HeadSizes& heads,
                         const Machine& machine) {
  return MlaDecodeRoofline(MlaDecode(key, context, heads, kBits), machine).seconds();
}
double MlaDecodeFlops(std::span<const double> key, double context, const HeadSizes& heads) {
  return MlaDecode(key, context, heads, 16).flops();
}

template <int kBits>
AttentionWork Prefill(std::span<const double> key, double query, const HeadSizes& heads) {
  return {key[0], key[1], D(heads.qk), D(heads.v), key[2],
          query,  query,  true,        kBits == 8, kBits / 8.0};
}
template <int kBits>
double PrefillBaseline(std::span<const double> key, double query, const HeadSizes& heads,
                       const Machine& machine) {
  return AttentionRoofline(Prefill<kBits>(key, query, heads), machine).seconds();
}
double PrefillWork(std::span<const double> key, double query, const HeadSizes& heads) {
  return Prefill<16>(key, query, heads).flops();
}

template <int kBits>
AttentionWork Decode(std::span<const double> key, double context, const HeadSizes& heads) {
  return {key[0],  key[1], D(heads.qk), D(heads.v),  key[2], 1,
          context, true,   false,       kBits / 8.0, true};
}
template <int kBits>
double DecodeBaseline(std::span<const double> key, double context, const HeadSizes& heads,
                      const Machine& machine) {
  return AttentionRoofline(Decode<kBits>(key, context, heads), machine).seconds();
}
double DecodeWork(std::span<const double> key, double context, const HeadSizes& heads) {
  return Decode<16>(key, context, heads).flops();
}

template <Dtype kType>
double MoeBaseline(std::span<const double> key, double tokens, const HeadSizes&,
                   const Machine& machine) {
  return MoeRoofline({tokens, key[0], key[1], key[2], key[3], key[4], kType}, machine).seconds();
}
double MoeFlops(std::span<const double> key, double tokens, const HeadSizes&) {
  return MoeWork{tokens, key[0], key[1], key[2], key[3], key[4]}.flops();
}

RatioSurface::Curve Plain(std::span<const double> key) {
  RatioSurface::Curve curve;
  std::copy(key.begin(), key.end(), curve.key.begin());
  return curve;
}

// Tokens become rows an expert, which do not depend on the split over ranks.
RatioSurface::Curve MoePlace(std::span<const double> key) {
  return {.key = {key[0], key[1], key[2] / key[4], key[3]}, .axis_scale = key[3] / key[2]};
}

constexpr auto kGrid = RatioSurface::Scheme::kKriging;
constexpr auto kFew = RatioSurface::Scheme::kInverseDistance;

}  // namespace

std::span<const TableKind> TableKinds() {
  static const std::vector<TableKind> kinds = [] {
    using enum TableId;
    using enum Dtype;
    const std::vector<std::string_view> gemm = {"n", "k"}, bmm = {"n", "k", "heads"},
                                        mla = {"heads", "batch"},
                                        gqa = {"heads", "kv_heads", "batch"},
                                        moe = {"hidden", "inter", "experts", "top_k", "ep"};
    return std::vector<TableKind>{
        {kGemmBf16, "gemm_bf16", gemm, "m", kGrid, GemmBaseline<kBf16>, GemmWork, Plain},
        {kGemmFp8, "gemm_fp8", gemm, "m", kGrid, GemmBaseline<kFp8>, GemmWork, Plain},
        {kGemmFp8Block, "gemm_fp8_block", gemm, "m", kGrid, GemmBaseline<kFp8Block>, GemmWork,
         Plain},
        {kMlaBmmBf16, "mla_bmm_bf16", bmm, "tokens", kGrid, BmmBaseline<kBf16>, BmmWork, Plain},
        {kMlaBmmFp8, "mla_bmm_fp8", bmm, "tokens", kGrid, BmmBaseline<kFp8>, BmmWork, Plain},
        {kMlaPrefill, "mla_prefill", mla, "query", kGrid, MlaPrefillBaseline<16>, MlaPrefillWork,
         Plain, false, true},
        {kMlaPrefillFp8, "mla_prefill_fp8", mla, "query", kGrid, MlaPrefillBaseline<8>,
         MlaPrefillWork, Plain, false, true},
        {kMlaDecodeBf16, "mla_decode_bf16", mla, "context", kGrid, MlaDecodeBaseline<16>,
         MlaDecodeFlops, Plain, false, true},
        {kMlaDecodeFp8, "mla_decode_fp8", mla, "context", kGrid, MlaDecodeBaseline<8>,
         MlaDecodeFlops, Plain, false, true},
        {kAttentionPrefillBf16, "attention_prefill_bf16", gqa, "query", kGrid, PrefillBaseline<16>,
         PrefillWork, Plain, false, true},
        {kAttentionPrefillFp8, "attention_prefill_fp8", gqa, "query", kGrid, PrefillBaseline<8>,
         PrefillWork, Plain, false, true},
        {kAttentionDecodeBf16, "attention_decode_bf16", gqa, "context", kGrid, DecodeBaseline<16>,
         DecodeWork, Plain, false, true},
        {kAttentionDecodeFp8, "attention_decode_fp8", gqa, "context", kGrid, DecodeBaseline<8>,
         DecodeWork, Plain, false, true},
        {kMoeBf16, "moe_bf16", moe, "tokens", kFew, MoeBaseline<kBf16>, MoeFlops, MoePlace, true},
        {kMoeFp8, "moe_fp8", moe, "tokens", kFew, MoeBaseline<kFp8>, MoeFlops, MoePlace, true},
        {kMoeFp8Block, "moe_fp8_block", moe, "tokens", kFew, MoeBaseline<kFp8Block>, MoeFlops,
         MoePlace, true},
    };
  }();
  return kinds;
}

const TableKind& KindOf(TableId id) {
  const TableKind& kind = TableKinds()[static_cast<size_t>(id)];
  MOECAST_CHECK(kind.id == id);
  return kind;
}

const TableKind* FindTableKind(std::string_view name) {
  for (const TableKind& kind : TableKinds())
    if (kind.name == name) return &kind;
  return nullptr;
}

CurveTable ParseCurveTable(const Measurements& text, const TableKind& kind,
                           const HeadSizes& heads) {
  CurveTable table = ParseCurveTable(text, kind.keys, kind.axis);
  table.heads = heads;
  return table;
}

RatioSurface BuildSurface(const TableKind& kind, const CurveTable& table, const Machine& machine) {
  RatioSurface surface(kind.scheme, table.axis_values);
  std::vector<double> key(kind.keys.size()), ratio(table.axis_values.size());
  std::vector<std::pair<double, double>> families;  // MoE: hidden and experts, whatever the split
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
    bool any = false;
    for (size_t i = 0; i < ratio.size(); ++i) {
      const double us = table.At(r, i);
      ratio[i] = std::isnan(us)
                     ? us
                     : us * 1e-6 / kind.baseline(key, table.axis_values[i], table.heads, machine);
      any = any || !std::isnan(us);
    }
    if (!any) continue;
    RatioSurface::Curve curve = kind.place(key);
    if (kind.by_family) {
      const std::pair<double, double> family(key[0], key[2]);
      const auto at = std::find(families.begin(), families.end(), family);
      curve.family = static_cast<int>(at - families.begin());
      if (at == families.end()) families.push_back(family);
    } else {
      curve.family = static_cast<int>(r);
    }
    surface.Add(curve, ratio);
  }
  surface.Finish();
  return surface;
}

double AttentionWork::flops() const {
  const double pairs = causal ? CausalPairs(query, context) : query * context;
  return 2 * (qk_dim + v_dim) * pairs * heads * batch;
}

double AttentionWork::bytes() const {
  return batch *
         (query * heads * (qk_dim + v_dim) * 2 + context * kv_heads * (qk_dim + v_dim) * kv_bytes);
}

Roofline AttentionRoofline(const AttentionWork& work, const Machine& machine) {
  const double rate = work.fp8 ? machine.fp8_per_sm : machine.bf16_per_sm;
  const double pair = 2 * (work.qk_dim + work.v_dim);
  double all = 0, longest = 0;
  if (work.decode) {
    const double rows = work.query * std::max(kWgmmaRows, work.heads / work.kv_heads);
    all = pair * rows * std::max(kWgmmaRows, work.context) * work.kv_heads * work.batch;
  } else {
    AttentionWork padded = work;
    padded.query = std::ceil(work.query / kQueryBlock) * kQueryBlock;
    padded.context = work.context + padded.query - work.query;
    all = padded.flops();
    longest = pair * kQueryBlock * padded.context;
  }
  return {.compute = std::max(all / machine.sms, longest) / rate,
          .memory = work.bytes() / machine.hbm,
          .overhead = kAttentionLaunch.value};
}

double MlaDecodeWork::flops() const {
  return 2 * heads * batch * context * (qk_dim + v_dim);
}

double MlaDecodeWork::bytes() const {
  return batch * (context * qk_dim * kv_bits / 8 + heads * (qk_dim + v_dim) * 2);
}

Roofline MlaDecodeRoofline(const MlaDecodeWork& work, const Machine& machine) {
  MlaDecodeWork padded = work;
  padded.heads = std::max(work.heads, kWgmmaRows);
  return {.compute = padded.flops() / (machine.sms * machine.bf16_per_sm),
          .memory = work.bytes() / machine.hbm,
          .overhead = kAttentionLaunch.value};
}

double MoeWork::bytes() const {
  const double active = std::min(local_experts(), rows());
  return active * 3 * hidden * inter * ElementBytes(dtype) + rows() * (3 * hidden + 3 * inter) * 2;
}

Roofline MoeRoofline(const MoeWork& work, const Machine& machine) {
  const int64_t groups =
      std::max<int64_t>(1, std::llround(std::min(work.local_experts(), work.rows())));
  const int64_t rows =
      std::max<int64_t>(1, std::llround(std::ceil(work.rows() / static_cast<double>(groups))));
  const int64_t hidden = std::llround(work.hidden), inter = std::llround(work.inter);
  const TileChoice up = PickTile({rows, 2 * inter, hidden, groups, work.dtype}, machine);
  const TileChoice down = PickTile({rows, hidden, inter, groups, work.dtype}, machine);
  // Gather, activation and weighted sum each read and write their rows once; block scaling
  // quantises what both products read; every rank reads all tokens and writes a sum for each, its
  // own experts' or not.
  const bool block = work.dtype == Dtype::kFp8Block;
  double moved =
      2 * work.rows() * (4 * work.hidden + 3 * work.inter) + 2 * work.tokens * 2 * work.hidden;
  if (block) moved += (2 + 1) * work.rows() * (work.hidden + work.inter);
  const double rest = moved / (machine.hbm * kMoeStreamed.value),
               rate = block ? kMoeBlockRate.value : 1;
  return {.compute = std::max(up.compute / rate, up.memory) +
                     std::max(down.compute / rate, down.memory) + rest,
          .memory = up.memory + down.memory + rest,
          .overhead = kMoeLaunch.value};
}

}  // namespace moecast
