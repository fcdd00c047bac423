// What kernels reach on a device: estimates of the time of one operator, from measured tables where
// the calibration has them, else from a reasoned efficiency with its source and a wider interval.
//   time = max(flops / (peak * eff_c), bytes / (bandwidth * eff_m)) + launch
// A calibration is calibration.json plus one CSV a table; a table is parsed when the first query
// needs it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/enum_names.h"
#include "costmodel/calibration/head_sizes.h"
#include "costmodel/cost.h"
#include "costmodel/whole_step.h"
#include "topology/device.h"

namespace moecast {

// Which product of a linear layer y[m,n] = x[m,k] w[n,k]^T. The shapes of a query are always the
// forward's m, n, k.
//   dgrad: dx[m,k] = dy[m,n] w[n,k]
//   wgrad: dw[n,k] += dy[m,n]^T x[m,k], summed into the main gradient
enum class GemmPass : uint8_t { kForward, kDgrad, kWgrad };
template <>
struct EnumNames<GemmPass> {
  static constexpr EnumName<GemmPass> kNames[] = {
      {GemmPass::kForward, "forward"}, {GemmPass::kDgrad, "dgrad"}, {GemmPass::kWgrad, "wgrad"}};
};

struct GemmQuery {
  int64_t m = 0, n = 0, k = 0;
  Dtype dtype = Dtype::kBf16;
  GemmPass pass = GemmPass::kForward;
  Dtype main_grad = Dtype::kFp32;  // what wgrad accumulates into (read and written)
  int sms = 0;                     // 0: the whole device
  bool operator==(const GemmQuery&) const = default;
};

// `groups` products of one (n, k), rows_total rows spread evenly over them.
struct GroupedGemmQuery {
  int64_t groups = 0, rows_total = 0, n = 0, k = 0;
  Dtype dtype = Dtype::kBf16;
  GemmPass pass = GemmPass::kForward;
  Dtype main_grad = Dtype::kFp32;
  int sms = 0;
  // One batched product of equal groups, such as MLA's absorbed up-projections, a group a head:
  // engines run them with other kernels than ragged groups.
  bool batched = false;
  bool operator==(const GroupedGemmQuery&) const = default;
};

enum class AttentionPhase : uint8_t { kTrainForward, kTrainBackward, kPrefill, kDecode };
template <>
struct EnumNames<AttentionPhase> {
  static constexpr EnumName<AttentionPhase> kNames[] = {
      {AttentionPhase::kTrainForward, "train-forward"},
      {AttentionPhase::kTrainBackward, "train-backward"},
      {AttentionPhase::kPrefill, "prefill"},
      {AttentionPhase::kDecode, "decode"}};
};

// Whose kernels run core attention.
enum class AttentionForm : uint8_t {
  kHeads,  // keys and values of their own for each key head: multi-head, grouped-query, multi-query
  kMla,    // MLA in plain form: as many key heads as heads, whose keys end in a part that all share
};
template <>
struct EnumNames<AttentionForm> {
  static constexpr EnumName<AttentionForm> kNames[] = {{AttentionForm::kHeads, "heads"},
                                                       {AttentionForm::kMla, "mla"}};
};

// Core attention (no projections).
struct AttentionQuery {
  AttentionPhase phase = AttentionPhase::kTrainForward;
  int64_t heads = 0, kv_heads = 0, qk_dim = 128, v_dim = 128;
  int64_t batch = 1;
  int64_t query = 0;    // new tokens of each sequence
  int64_t context = 0;  // keys each sequence has in all, its new tokens included
  bool causal = true;
  Dtype dtype = Dtype::kBf16;
  Dtype kv_dtype = Dtype::kBf16;
  AttentionForm form = AttentionForm::kHeads;
  bool operator==(const AttentionQuery&) const = default;
};

// Absorbed MLA decode: one query token a sequence against compressed keys, a part of which are the
// values.
struct MlaDecodeQuery {
  int64_t heads = 0, batch = 1, context = 0;
  double kv_bits = 16;
  HeadSizes latent;  // qk: the compressed keys and values and the shared part; v: the compressed
                     // ones alone
  bool operator==(const MlaDecodeQuery&) const = default;
};

// A fused inference MoE layer: permute, two grouped GEMMs, activation, on one rank of `ep`.
struct MoeQuery {
  int64_t tokens = 0;  // of all ranks together, before the expert-parallel split
  int64_t hidden = 0;
  int64_t inter = 0;
  int64_t experts = 0;
  int64_t top_k = 0;
  int64_t ep = 1;
  Dtype dtype = Dtype::kBf16;
};

// Kernels that stream through HBM. `bytes` is what must be read and written once.
enum class ElementwiseKind : uint8_t {
  kRmsNorm,
  kRope,
  kSwiGlu,
  kAdd,
  kEmbedding,
  kPermute,  // gather or scatter of token rows; also the weighted sum of unpermute
  kCast,     // casts, transposes and quantisation with scales
  kSoftmax,  // router scores and top-k; cross-entropy
  kOptimizer,
  kReduce,  // norms and sums over a buffer
};
template <>
struct EnumNames<ElementwiseKind> {
  static constexpr EnumName<ElementwiseKind> kNames[] = {
      {ElementwiseKind::kRmsNorm, "rmsnorm"},     {ElementwiseKind::kRope, "rope"},
      {ElementwiseKind::kSwiGlu, "swiglu"},       {ElementwiseKind::kAdd, "add"},
      {ElementwiseKind::kEmbedding, "embedding"}, {ElementwiseKind::kPermute, "permute"},
      {ElementwiseKind::kCast, "cast"},           {ElementwiseKind::kSoftmax, "softmax"},
      {ElementwiseKind::kOptimizer, "optimizer"}, {ElementwiseKind::kReduce, "reduce"}};
};

class CalibrationTables;  // the parsed tables
enum class TableId : uint8_t;
struct AttentionWork;
struct GemmShape;
struct MlaDecodeWork;

// What it multiplies and moves.
MlaDecodeWork WorkOf(const MlaDecodeQuery& query);

class Calibration {
 public:
  // `read` gives the text of a file below the folder of all stacks ("2025/calibration.json",
  // "2025/gemm_bf16.csv") and throws UserError where it is missing, as does this where
  // calibration.json is not one. A table is read and checked by the first query that needs it,
  // which may throw. Several threads may ask at once, and then call `read` at once.
  using Reader = std::function<std::string(std::string_view file)>;
  Calibration(Device device, std::string_view stack, Reader read);
  ~Calibration();
  Calibration(Calibration&&) noexcept;
  Calibration& operator=(Calibration&&) noexcept;

  const Device& device() const { return device_; }
  // Of its estimates: tables, and numbers that were reasoned.
  const CostSources& sources() const;
  // What a step of a long run takes beyond these kernels in a burst (its era is 1), and what that
  // was fitted to.
  WholeStep whole_step() const;
  const std::string& whole_step_source() const;
  // The head sizes that a table of attention was measured with. Throws UserError where there is no
  // such table.
  HeadSizes MeasuredHeads(TableId table) const;

  // REQUIRES of all queries: sizes are positive, 0 <= sms <= device().sms. They throw UserError
  // where the calibration has no table for them.
  Cost Gemm(const GemmQuery& q) const;
  Cost GroupedGemm(const GroupedGemmQuery& q) const;
  Cost Attention(const AttentionQuery& q) const;
  Cost MlaDecode(const MlaDecodeQuery& q) const;
  Cost Moe(const MoeQuery& q) const;
  Cost Elementwise(ElementwiseKind kind, Bytes bytes) const;

 private:
  Cost WeightGradient(Cost cost, const GemmShape& shape, Dtype main_grad) const;
  Cost AttentionOf(std::string_view engine, const AttentionWork& work, bool backward) const;

  Device device_;
  std::unique_ptr<CalibrationTables> tables_;
};

}  // namespace moecast
