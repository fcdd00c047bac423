#include "costmodel/calibration/calibration.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "costmodel/calibration/tables.h"

namespace moecast {
namespace {

TableId GemmTable(Dtype d) {
  switch (d) {
    case Dtype::kFp8:
      return TableId::kGemmFp8;
    case Dtype::kFp8Block:
      return TableId::kGemmFp8Block;
    case Dtype::kBf16:
    case Dtype::kFp32:
      return TableId::kGemmBf16;
  }
  return TableId::kGemmBf16;
}

ReasonedId GroupedReason(Dtype d) {
  return d == Dtype::kFp8        ? ReasonedId::kGroupedFp8
         : d == Dtype::kFp8Block ? ReasonedId::kGroupedFp8Block
                                 : ReasonedId::kGroupedBf16;
}

// The shape of the product itself: y = x w^T has the forward's m, n, k; dx = dy w sums over n; dw =
// dy^T x over m.
GemmShape ShapeOf(GemmPass pass, int64_t groups, int64_t m, int64_t n, int64_t k, Dtype dtype) {
  GemmShape shape{m, n, k, groups, dtype};
  if (pass == GemmPass::kDgrad) std::swap(shape.n, shape.k);
  if (pass == GemmPass::kWgrad) shape.m = n, shape.n = k, shape.k = m;
  return shape;
}

double D(int64_t x) {
  return static_cast<double>(x);
}

}  // namespace

Calibration::Calibration(Device device, std::string_view stack, Reader read)
    : device_(std::move(device)),
      tables_(std::make_unique<CalibrationTables>(device_, stack, std::move(read))) {}
Calibration::~Calibration() = default;
Calibration::Calibration(Calibration&&) noexcept = default;
Calibration& Calibration::operator=(Calibration&&) noexcept = default;

const CostSources& Calibration::sources() const {
  return tables_->sources();
}

WholeStep Calibration::whole_step() const {
  const WholeStepRecord& w = tables_->whole_step();
  return {.sustained = w.sustained, .gap = w.gap, .era = 1, .sigma = w.sigma};
}

const std::string& Calibration::whole_step_source() const {
  return tables_->whole_step().source;
}

HeadSizes Calibration::MeasuredHeads(TableId table) const {
  return tables_->Of(table).heads;
}

Cost Calibration::Gemm(const GemmQuery& q) const {
  const Machine machine = MachineOf(device_, q.sms);
  const GemmShape shape = ShapeOf(q.pass, 1, q.m, q.n, q.k, q.dtype);
  const TileChoice choice = PickTile(shape, machine);
  double model = choice.seconds();
  if (q.dtype == Dtype::kFp8Block && q.pass != GemmPass::kWgrad &&
      IsDeepGemmWideBlock(shape.m, shape.n, machine.sms))
    model = DeepGemmWideBlockSeconds(shape.k);
  Cost cost = tables_->Correct(GemmTable(q.dtype), model, choice.bound(),
                               {D(shape.n), D(shape.k), 1, 1}, D(shape.m));
  cost.extrapolated = cost.extrapolated || q.dtype == Dtype::kFp32;
  if (q.dtype == Dtype::kBf16) cost = tables_->Scale(cost, ReasonedId::kGemmBf16);
  return q.pass == GemmPass::kWgrad ? WeightGradient(cost, shape, q.main_grad) : cost;
}

// A weight gradient is read and written in the main gradient's format where a product is only
// written in bf16. Part of that hides behind the tiles that still multiply.
Cost Calibration::WeightGradient(Cost cost, const GemmShape& shape, Dtype main_grad) const {
  const bool block = shape.dtype == Dtype::kFp8Block;
  const ReasonedId reason = block ? ReasonedId::kWgradFp8Block : ReasonedId::kWgrad;
  const double counted = 2, elements = D(shape.groups) * D(shape.m) * D(shape.n);
  const double extra =
      elements * std::max(0.0, 2 * ElementBytes(main_grad) - counted) / device_.hbm.value;
  const double exposed = tables_->Of(ReasonedId::kMainGradExposed).record.value;
  cost.time = Seconds(cost.time.value * tables_->Of(reason).record.value + exposed * extra);
  cost.extrapolated = true;
  return tables_->Reason(cost, reason);
}

// Rows of each group are padded to tiles, tiles of all groups share the waves, and every group's
// weights are read. The ratio is that of the one GEMM with the same tiles and weights: a group's
// rows against all groups' columns.
Cost Calibration::GroupedGemm(const GroupedGemmQuery& q) const {
  MOECAST_CHECK(q.groups > 0 && q.rows_total > 0);
  const Machine machine = MachineOf(device_, q.sms);
  const int64_t rows = (q.rows_total + q.groups - 1) / q.groups;
  const GemmShape shape =
      ShapeOf(q.pass, std::min(q.groups, q.rows_total), rows, q.n, q.k, q.dtype);
  const TileChoice choice = PickTile(shape, machine);
  // The absorbed up-projections of MLA decode were measured as they are.
  if (q.batched && q.dtype != Dtype::kFp32 && q.pass == GemmPass::kForward &&
      q.rows_total % q.groups == 0)
    return tables_->Correct(q.dtype == Dtype::kBf16 ? TableId::kMlaBmmBf16 : TableId::kMlaBmmFp8,
                            choice.seconds(), choice.bound(), {D(q.n), D(q.k), D(q.groups), 1},
                            D(rows));
  // More columns than the widest measured product has cost a column what they cost there.
  const TableId table = GemmTable(q.dtype);
  const double columns = std::min(D(shape.n) * D(shape.groups), tables_->Surface(table).Largest(0));
  Cost cost = tables_->Correct(table, choice.seconds(), choice.bound(),
                               {std::max(columns, D(shape.n)), D(shape.k), 1, 1}, D(shape.m));
  cost = tables_->Scale(cost, GroupedReason(q.dtype));
  cost.extrapolated = true;
  return q.pass == GemmPass::kWgrad ? WeightGradient(cost, shape, q.main_grad) : cost;
}

Cost Calibration::Attention(const AttentionQuery& q) const {
  const bool fp8 = q.dtype == Dtype::kFp8 || q.dtype == Dtype::kFp8Block;
  const bool mla = q.form == AttentionForm::kMla;
  const bool fp8_cache = ElementBytes(q.kv_dtype) < 1.5;
  const AttentionWork work{D(q.heads),
                           D(q.kv_heads),
                           D(q.qk_dim),
                           D(q.v_dim),
                           D(q.batch),
                           D(q.query),
                           D(q.context),
                           q.causal,
                           fp8,
                           ElementBytes(q.kv_dtype),
                           q.phase == AttentionPhase::kDecode};
  const Roofline roofline = AttentionRoofline(work, tables_->machine());
  const auto has_measured_heads = [&](TableId table) {
    return MeasuredHeads(table) == HeadSizes{q.qk_dim, q.v_dim};
  };
  if (q.phase == AttentionPhase::kDecode) {
    const TableId table = fp8_cache ? TableId::kAttentionDecodeFp8 : TableId::kAttentionDecodeBf16;
    Cost cost = tables_->Correct(table, roofline.seconds(), roofline.bound(),
                                 {work.heads, work.kv_heads, work.batch, 1}, work.context);
    cost.extrapolated = cost.extrapolated || q.query != 1 || !has_measured_heads(table);
    return cost;
  }
  const bool backward = q.phase == AttentionPhase::kTrainBackward;
  // The prefill tables include rotary embedding and writes to the cache, which training has not;
  // for heads of one dimension there are published rates of training kernels.
  const bool training = backward || q.phase == AttentionPhase::kTrainForward;
  if (!tables_->attention_tables() || (training && !mla))
    return AttentionOf(tables_->attention_engine(), work, backward);

  const TableId table = mla   ? fp8_cache ? TableId::kMlaPrefillFp8 : TableId::kMlaPrefill
                        : fp8 ? TableId::kAttentionPrefillFp8
                              : TableId::kAttentionPrefillBf16;
  const RatioSurface::Key key = mla ? RatioSurface::Key{work.heads, work.batch, 1, 1}
                                    : RatioSurface::Key{work.heads, work.kv_heads, work.batch, 1};
  Cost cost = tables_->Correct(table, roofline.seconds(), roofline.bound(), key, work.context);
  // Measured: causal, from an empty cache; MLA multiplies in bf16 whatever its cache.
  cost.extrapolated = cost.extrapolated || (mla && fp8) || !q.causal || q.query != q.context ||
                      !has_measured_heads(table);
  if (!backward) return cost;

  const AttentionByLength& rates = tables_->ByLength();
  const double widest = rates.WidestBackward(tables_->attention_engine());
  const double head_dim = std::min(work.qk_dim, widest);
  const auto forward = rates.At(tables_->attention_engine(), false, false, head_dim, work.context);
  const auto reverse = rates.At(tables_->attention_engine(), true, false, head_dim, work.context);
  // Five products where the forward has two (dv, dp, dq, dk and the scores again), arXiv
  // 2205.14135.
  constexpr double kBackwardFlops = 2.5;
  cost.time = cost.time * (kBackwardFlops * forward.flops_per_second / reverse.flops_per_second);
  cost.extrapolated = true;
  cost = tables_->Scale(cost, ReasonedId::kAttentionBackward);
  if (work.qk_dim > widest) {
    const SourceId source = cost.source;
    cost = tables_->Scale(cost, ReasonedId::kAttentionWideHeads);
    cost.source = source;
  }
  return cost;
}

// From the rates an engine was published with. FlashAttention-2 has one head dimension for queries,
// keys and values, so MLA's values are padded from 128 to 192 and the padding is multiplied.
Cost Calibration::AttentionOf(std::string_view engine, const AttentionWork& work,
                              bool backward) const {
  const Machine& machine = tables_->machine();
  const CalibrationTables::Reasoned& reasoned = tables_->Of(ReasonedId::kAttentionByLength);
  AttentionWork padded = work;
  padded.qk_dim = padded.v_dim = std::max(work.qk_dim, work.v_dim);
  const auto rate =
      tables_->ByLength().At(engine, backward, work.causal, padded.qk_dim, work.context);
  // The figures are of 132 SMs at the H100's rate; a device's own rate and its longest block scale
  // them.
  const Roofline roofline = AttentionRoofline(padded, machine);
  const Machine& figure = tables_->measured();
  const double reached = rate.flops_per_second / (figure.sms * figure.bf16_per_sm);
  const double flops = backward ? 2.5 : 1;
  const double compute = roofline.compute * flops / reached, memory = roofline.memory * flops;
  Cost cost;
  cost.time = Seconds(std::max(compute, memory) + roofline.overhead);
  cost.bound = Roofline{compute, memory, roofline.overhead}.bound();
  cost.extrapolated = rate.extrapolated || work.qk_dim != work.v_dim || !tables_->device_listed();
  cost = tables_->Scale(cost, ReasonedId::kAttentionByLength);
  if (backward) cost = tables_->Scale(cost, ReasonedId::kAttentionBackward);
  if (work.qk_dim > tables_->ByLength().WidestBackward(engine))
    cost = tables_->Scale(cost, ReasonedId::kAttentionWideHeads);
  cost.source = reasoned.source;
  return cost;
}

MlaDecodeWork WorkOf(const MlaDecodeQuery& q) {
  return {D(q.heads), D(q.batch), D(q.context), D(q.latent.qk), D(q.latent.v), q.kv_bits};
}

Cost Calibration::MlaDecode(const MlaDecodeQuery& q) const {
  const TableId table = q.kv_bits < 12 ? TableId::kMlaDecodeFp8 : TableId::kMlaDecodeBf16;
  const MlaDecodeWork work = WorkOf(q);
  const Roofline roofline = MlaDecodeRoofline(work, tables_->machine());
  Cost cost = tables_->Correct(table, roofline.seconds(), roofline.bound(),
                               {work.heads, work.batch, 1, 1}, work.context);
  cost.extrapolated =
      cost.extrapolated || (q.kv_bits != 16 && q.kv_bits != 8) || q.latent != MeasuredHeads(table);
  return cost;
}

Cost Calibration::Moe(const MoeQuery& q) const {
  const TableId id = q.dtype == Dtype::kFp8        ? TableId::kMoeFp8
                     : q.dtype == Dtype::kFp8Block ? TableId::kMoeFp8Block
                                                   : TableId::kMoeBf16;
  const MoeWork work{D(q.tokens), D(q.hidden), D(q.inter), D(q.experts),
                     D(q.top_k),  D(q.ep),     q.dtype};
  const Roofline roofline = MoeRoofline(work, tables_->machine());
  Cost cost = tables_->Correct(id, roofline.seconds(), roofline.bound(),
                               {work.hidden, work.inter, work.local_experts(), work.top_k},
                               work.tokens * work.top_k / work.experts);
  cost.extrapolated = cost.extrapolated || q.dtype == Dtype::kFp32;
  return cost;
}

Cost Calibration::Elementwise(ElementwiseKind kind, Bytes bytes) const {
  const CalibrationTables::Reasoned& reasoned =
      tables_->Of(ReasonedId::kElementwise, static_cast<int>(kind));
  const double launch = tables_->Of(ReasonedId::kElementwiseLaunchUs).record.value * 1e-6;
  const double stream = bytes.value / (device_.hbm.value * reasoned.record.value);
  Cost cost;
  cost.time = Seconds(stream + launch);
  cost.sigma_table = reasoned.record.sigma_table;
  cost.sigma_own = reasoned.record.sigma_own;
  cost.source = reasoned.source;
  cost.bound = stream > launch ? Bound::kMemory : Bound::kLatency;
  cost.extrapolated = true;
  return cost;
}

}  // namespace moecast
