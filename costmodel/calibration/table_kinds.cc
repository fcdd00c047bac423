#include "costmodel/calibration/table_kinds.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr Known kAttentionLaunch = {
    5e-6, "smallest attention calls of the measured tables take 5-15 us, helper kernels included"};
constexpr Known kMoeLaunch = {
    20e-6, "smallest fused MoE calls of the measured tables take 20-40 us: about eight kernels"};
constexpr double kQueryBlock = 128;               // rows a thread block of FlashAttention handles
constexpr double kMlaKey = 576, kMlaValue = 512;  // DeepSeek-V2, arXiv 2405.04434: d_c + d_R^h and d_c
constexpr double kWgmmaRows = 64;

template <Dtype kType>
double GemmBaseline(std::span<const double> key, double m, const Machine& machine) {
  const GemmShape shape{std::llround(m), std::llround(key[0]), std::llround(key[1]), 1, kType};
  if (kType == Dtype::kFp8Block && IsDeepGemmWideBlock(shape.m, shape.n, machine.sms))
    return DeepGemmWideBlockSeconds(shape.k);
  return PickTile(shape, machine).seconds();
}

double BmmBaseline(std::span<const double> key, double tokens, const Machine& machine) {
  const GemmShape shape{std::llround(tokens), std::llround(key[0]), std::llround(key[1]),
                        std::llround(key[2]), Dtype::kBf16};
  return PickTile(shape, machine).seconds();
}

double MlaPrefillBaseline(std::span<const double> key, double query, const Machine& machine) {
  return AttentionRoofline({key[0], key[0], 192, 128, key[1], query, query, true, false, 2}, machine)
      .seconds();
}

template <int kBits>
double MlaDecodeBaseline(std::span<const double> key, double context, const Machine& machine) {
  return MlaDecodeRoofline(key[0], key[1], context, kBits, machine).seconds();
}

template <int kBits>
double PrefillBaseline(std::span<const double> key, double query, const Machine& machine) {
  return AttentionRoofline({key[0], key[1], 128, 128, key[2], query, query, true, kBits == 8, kBits / 8.0},
                           machine)
      .seconds();
}

template <int kBits>
double DecodeBaseline(std::span<const double> key, double context, const Machine& machine) {
  return AttentionRoofline({key[0], key[1], 128, 128, key[2], 1, context, true, false, kBits / 8.0, true},
                           machine)
      .seconds();
}

template <Dtype kType>
double MoeBaseline(std::span<const double> key, double tokens, const Machine& machine) {
  return MoeRoofline({tokens, key[0], key[1], key[2], key[3], key[4], kType}, machine).seconds();
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

constexpr auto kPlane = RatioSurface::Scheme::kLocalLinear;
constexpr auto kFew = RatioSurface::Scheme::kInverseDistance;

}  // namespace

std::span<const TableKind> TableKinds() {
  static const std::vector<TableKind> kinds = [] {
    const std::vector<std::string_view> gemm = {"n", "k"}, mla = {"heads", "batch"},
                                        gqa = {"heads", "kv_heads", "batch"},
                                        moe = {"hidden", "inter", "experts", "top_k", "ep"};
    return std::vector<TableKind>{
        {TableId::kGemmBf16, "gemm_bf16", gemm, "m", kPlane, GemmBaseline<Dtype::kBf16>, Plain},
        {TableId::kGemmFp8, "gemm_fp8", gemm, "m", kPlane, GemmBaseline<Dtype::kFp8>, Plain},
        {TableId::kGemmFp8Block, "gemm_fp8_block", gemm, "m", kPlane, GemmBaseline<Dtype::kFp8Block>, Plain},
        {TableId::kMlaBmmBf16, "mla_bmm_bf16", {"n", "k", "heads"}, "tokens", kPlane, BmmBaseline, Plain},
        {TableId::kMlaPrefill, "mla_prefill", mla, "query", kPlane, MlaPrefillBaseline, Plain},
        {TableId::kMlaDecodeBf16, "mla_decode_bf16", mla, "context", kPlane, MlaDecodeBaseline<16>, Plain},
        {TableId::kMlaDecodeFp8, "mla_decode_fp8", mla, "context", kPlane, MlaDecodeBaseline<8>, Plain},
        {TableId::kAttentionPrefillBf16, "attention_prefill_bf16", gqa, "query", kPlane, PrefillBaseline<16>,
         Plain},
        {TableId::kAttentionPrefillFp8, "attention_prefill_fp8", gqa, "query", kPlane, PrefillBaseline<8>,
         Plain},
        {TableId::kAttentionDecodeBf16, "attention_decode_bf16", gqa, "context", kPlane, DecodeBaseline<16>,
         Plain},
        {TableId::kAttentionDecodeFp8, "attention_decode_fp8", gqa, "context", kPlane, DecodeBaseline<8>,
         Plain},
        {TableId::kMoeBf16, "moe_bf16", moe, "tokens", kFew, MoeBaseline<Dtype::kBf16>, MoePlace, true},
        {TableId::kMoeFp8, "moe_fp8", moe, "tokens", kFew, MoeBaseline<Dtype::kFp8>, MoePlace, true},
        {TableId::kMoeFp8Block, "moe_fp8_block", moe, "tokens", kFew, MoeBaseline<Dtype::kFp8Block>, MoePlace,
         true},
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

RatioSurface BuildSurface(const TableKind& kind, const CurveTable& table, const Machine& machine) {
  RatioSurface surface(kind.scheme, table.axis_values);
  std::vector<double> key(kind.keys.size()), ratio(table.axis_values.size());
  std::vector<std::pair<double, double>> families;  // MoE: hidden and experts, whatever the split
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
    bool any = false;
    for (size_t i = 0; i < ratio.size(); ++i) {
      const double us = table.At(r, i);
      ratio[i] = std::isnan(us) ? us : us * 1e-6 / kind.baseline(key, table.axis_values[i], machine);
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
  const double pairs = causal ? query * (context - query) + query * (query + 1) / 2 : query * context;
  return 2 * (qk_dim + v_dim) * pairs * heads * batch;
}

double AttentionWork::bytes() const {
  return batch * (query * heads * (qk_dim + v_dim) * 2 + context * kv_heads * (qk_dim + v_dim) * kv_bytes);
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

double MlaDecodeFlops(double heads, double batch, double context) {
  return 2 * heads * batch * context * (kMlaKey + kMlaValue);
}

double MlaDecodeBytes(double heads, double batch, double context, double kv_bits) {
  return batch * (context * kMlaKey * kv_bits / 8 + heads * (kMlaKey + kMlaValue) * 2);
}

Roofline MlaDecodeRoofline(double heads, double batch, double context, double kv_bits,
                           const Machine& machine) {
  return {.compute = MlaDecodeFlops(std::max(heads, kWgmmaRows), batch, context) /
                     (machine.sms * machine.bf16_per_sm),
          .memory = MlaDecodeBytes(heads, batch, context, kv_bits) / machine.hbm,
          .overhead = kAttentionLaunch.value};
}

double MoeWork::bytes() const {
  const double active = std::min(local_experts(), rows());
  return active * 3 * hidden * inter * ElementBytes(dtype) + rows() * (3 * hidden + 3 * inter) * 2;
}

Roofline MoeRoofline(const MoeWork& work, const Machine& machine) {
  const int64_t groups = std::max<int64_t>(1, std::llround(std::min(work.local_experts(), work.rows())));
  const int64_t rows =
      std::max<int64_t>(1, std::llround(std::ceil(work.rows() / static_cast<double>(groups))));
  const int64_t hidden = std::llround(work.hidden), inter = std::llround(work.inter);
  const TileChoice up = PickTile({rows, 2 * inter, hidden, groups, work.dtype}, machine);
  const TileChoice down = PickTile({rows, hidden, inter, groups, work.dtype}, machine);
  // Gather, activation and weighted sum each read and write their rows once.
  const double rest = work.rows() * (4 * work.hidden + 3 * work.inter) * 2 / machine.hbm;
  return {.compute = std::max(up.compute, up.memory) + std::max(down.compute, down.memory) + rest,
          .memory = up.memory + down.memory + rest,
          .overhead = kMoeLaunch.value};
}

}  // namespace moecast
