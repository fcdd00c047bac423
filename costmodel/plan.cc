#include "costmodel/plan.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/fields.h"
#include "base/quantity_text.h"

namespace moecast {

template <>
struct Codec<StageLayers> {
  static StageLayers Parse(const JsonCursor& at, const Limits& limits);
  static Json Print(const StageLayers& v);
  static Json Schema(const Limits& limits);
  static std::string Type(const Limits& limits);
};

template <>
struct Codec<MemoryLimit> {
  static MemoryLimit Parse(const JsonCursor& at, const Limits& limits);
  static Json Print(const MemoryLimit& v);
  static Json Schema(const Limits& limits);
  static std::string Type(const Limits& limits);
};

const Fields<Parallel>& FieldsOf(const Parallel*) {
  // The product of all four fits in 64 bits.
  constexpr Limits kSize{.low = 1, .high = 1 << 14}, kData{.low = 1, .high = 1 << 20};
  static const Fields<Parallel> fields(
      "parallel",
      {
          Row("tp", &Parallel::tp, "tensor-parallel ranks", kSize),
          Row("pp", &Parallel::pp, "pipeline stages", kSize),
          Row("vpp", &Parallel::vpp, "model chunks of each stage (interleaved schedules)",
              {.low = 1, .high = 4096}),
          Row("ep", &Parallel::ep,
              "expert-parallel ranks; a part of dp, or with expert_tp 1 of tp * dp", kSize),
          Row("expert_tp", &Parallel::expert_tp,
              "tensor-parallel ranks of the experts (Megatron's expert-tensor-parallel-size): tp, "
              "or 1, where each expert is whole; absent: tp",
              kSize),
          Row("cp", &Parallel::cp,
              "context-parallel ranks: the tokens of a sequence are cut over them", kSize),
          Row("dp", &Parallel::dp, "data-parallel ranks, the expert-parallel ones included", kData),
          Row("zero", &Parallel::zero,
              "ZeRO stage: 0 nothing, 1 optimizer states, 2 gradients, 3 weights sharded over the "
              "data-parallel ranks",
              {.low = 0, .high = 3}),
          Row("sequence", &Parallel::sequence,
              "sequence parallelism with tp: norms and residuals on 1/tp of the tokens"),
          Row("rank_order", &Parallel::rank_order,
              "axes from the one whose ranks are neighbours to the outermost; dp stands for the "
              "replicas of an expert-parallel group",
              {.max_items = kAxes}),
      });
  return fields;
}

const Fields<Optimizer>& FieldsOf(const Optimizer*) {
  static const Fields<Optimizer> fields(
      "optimizer",
      {
          Row("grad_clip", &Optimizer::grad_clip,
              "gradient norm: a global barrier before the step, checked after it (arXiv "
              "2401.10241, section 4), or not computed"),
          Row("offload", &Optimizer::offload,
              "fraction of the optimizer's states that is kept in host memory and updated there "
              "(Megatron's optimizer-offload-fraction)",
              {.low = 0, .high = 1}),
      });
  return fields;
}

StageLayers Codec<StageLayers>::Parse(const JsonCursor& at, const Limits& limits) {
  if (at.json().is_string()) {
    static constexpr std::string_view kBalanced[] = {"balanced"};
    if (at.Text() != kBalanced[0])
      at.Fail("\"balanced\" or a list of layers per stage", Nearest(at.Text(), kBalanced));
    return {};
  }
  return {Codec<std::vector<int>>::Parse(at, limits)};
}
Json Codec<StageLayers>::Print(const StageLayers& v) {
  return v.balanced() ? Json("balanced") : Codec<std::vector<int>>::Print(v.layers);
}
Json Codec<StageLayers>::Schema(const Limits& limits) {
  return {{"anyOf",
           Json::array({Json{{"const", "balanced"}}, Codec<std::vector<int>>::Schema(limits)})}};
}
std::string Codec<StageLayers>::Type(const Limits&) {
  return "\"balanced\" or list of whole numbers";
}

MemoryLimit Codec<MemoryLimit>::Parse(const JsonCursor& at, const Limits& limits) {
  if (at.json().is_number()) return {.micro_batches = at.Number(limits.low, limits.high)};
  const auto bytes = at.json().is_string() ? ParseBytes(at.Text()) : std::nullopt;
  if (!bytes || bytes->value <= 0)
    at.Fail("bytes with a unit such as \"60GiB\", or a number of micro-batches");
  return {.bytes = *bytes};
}
Json Codec<MemoryLimit>::Print(const MemoryLimit& v) {
  return v.micro_batches > 0 ? Json(v.micro_batches) : Json(PrintBytes(v.bytes));
}
Json Codec<MemoryLimit>::Schema(const Limits& limits) {
  return {{"anyOf", Json::array({Codec<Bytes>::Schema(limits), Codec<double>::Schema(limits)})}};
}
std::string Codec<MemoryLimit>::Type(const Limits& limits) {
  return Codec<Bytes>::Type(limits) + ", or " + Codec<double>::Type(limits);
}

Placement PlacementOf(const Parallel& p) {
  std::array<Axis, kAxes> order{};
  MOECAST_CHECK(p.rank_order.size() == kAxes);
  std::copy(p.rank_order.begin(), p.rank_order.end(), order.begin());
  return Placement({p.tp, p.cp, p.ep_in_dp(), p.edp(), p.pp}, order, p.whole_experts());
}

bool Plan::Recomputes(Recompute what) const {
  return std::find(recompute.begin(), recompute.end(), what) != recompute.end();
}

const Fields<Plan>& FieldsOf(const Plan*) {
  static const Fields<Plan> fields(
      "training",
      {
          RequiredRow("phases", &Plan::phases, "what is trained, in order", {.max_items = 64}),
          Row("micro_batch", &Plan::micro_batch,
              "sequences of a micro-batch on one data-parallel rank", {.low = 1, .high = 1 << 20}),
          Row("precision", &Plan::precision, "number formats"),
          Row("parallel", &Plan::parallel, "sizes of the parallel groups"),
          Row("stage_layers", &Plan::stage_layers,
              "layers of each virtual stage; \"balanced\" minimises the slowest one, embedding and "
              "head included",
              {.low = 0, .high = 100000}),
          Row("schedule", &Plan::schedule,
              "pipeline schedule: `moecast pipeline --help` lists them"),
          Row("weight_delay", &Plan::weight_delay,
              "most micro-batches whose weight gradients a stage puts off, with schedules that "
              "split the backward pass; less delay holds less memory and leaves more bubble; "
              "absent: the schedule's own",
              {.low = 0, .high = 100000}),
          Row("memory_limit", &Plan::memory_limit,
              "what a schedule that is built within a limit (zb-1p, zb-2p) keeps to: bytes of a "
              "rank in all, or micro-batches alive; absent: the schedule's own limit, or the "
              "device's memory where that is less",
              {.low = 1, .high = 1e6}),
          Row("recompute", &Plan::recompute,
              "what the backward pass computes again instead of keeping it"),
          Row("fused_cross_entropy", &Plan::fused_cross_entropy,
              "the loss goes from bf16 logits to their fp32 exponentials in one kernel, without "
              "copies"),
          Row("overlap", &Plan::overlap, "what runs at the same time"),
          Row("collectives", &Plan::collectives, "which algorithms run the collectives"),
          Row("routing", &Plan::routing, "how unequal the experts' devices are loaded"),
          Row("optimizer", &Plan::optimizer, "AdamW's step"),
      });
  return fields;
}

}  // namespace moecast
