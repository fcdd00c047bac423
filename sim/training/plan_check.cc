#include "sim/training/plan_check.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/quantity_text.h"
#include "costmodel/op_cost.h"
#include "sim/pipeline/pipeline.h"

namespace moecast {
namespace {

using Fault = std::optional<PlanFault>;

constexpr int64_t kMaxMicroBatchTokens = int64_t{1} << 30;  // experts' rows counted

std::string Number(int64_t n) {
  return std::to_string(n);
}

Fault CheckTensorParallel(const Parallel& p, const Model& m) {
  const auto divides = [&](int64_t n, const char* what) -> Fault {
    if (n % p.tp == 0) return std::nullopt;
    return PlanFault{"/parallel/tp", std::string("a divisor of the ") + what + ", " + Number(n),
                     ""};
  };
  if (Fault f = divides(m.attention.heads, "attention heads")) return f;
  if (m.attention.kv_heads % p.tp != 0 && p.tp % m.attention.kv_heads != 0)
    return PlanFault{"/parallel/tp",
                     "a divisor or a multiple of the KV heads, " + Number(m.attention.kv_heads),
                     ""};
  if (m.dense_inter > 0)
    if (Fault f = divides(m.dense_inter, "MLP's intermediate size")) return f;
  if (m.moe.experts > 0 && !p.whole_experts())
    if (Fault f = divides(m.moe.inter, "experts' intermediate size")) return f;
  return std::nullopt;
}

Fault CheckExpertParallel(const Parallel& p, const Model& m) {
  if (p.expert_tp && *p.expert_tp != 1 && *p.expert_tp != p.tp)
    return PlanFault{"/parallel/expert_tp", "1, or tp, " + Number(p.tp), ""};
  if (p.whole_experts()) {
    if (m.moe.experts == 0)
      return PlanFault{"/parallel/expert_tp", "none for a model without experts", ""};
    if (!p.sequence)
      return PlanFault{"/parallel/expert_tp",
                       "tp without sequence parallelism: ranks of tp that route the same tokens "
                       "would send each of them several times",
                       ""};
    if (p.ep % p.tp != 0 || p.dp % p.ep_in_dp() != 0)
      return PlanFault{"/parallel/ep",
                       "a multiple of tp, " + Number(p.tp) + ", and a divisor of tp * dp, " +
                           Number(int64_t{p.tp} * p.dp) +
                           ": with expert_tp 1 the ranks of tp are expert-parallel too",
                       ""};
  } else if (p.dp % p.ep != 0) {
    return PlanFault{
        "/parallel/ep",
        "a divisor of dp, " + Number(p.dp) +
            ": expert-parallel ranks are data-parallel too (and those of tp, with expert_tp 1)",
        ""};
  }
  if (p.ep == 1) return std::nullopt;
  if (m.moe.experts == 0) return PlanFault{"/parallel/ep", "1 for a model without experts", ""};
  if (m.moe.experts % p.ep != 0)
    return PlanFault{"/parallel/ep", "a divisor of the experts, " + Number(m.moe.experts), ""};
  // A device holds whole groups, or a part of one group.
  if (m.moe.groups % p.ep != 0 && p.ep % m.moe.groups != 0)
    return PlanFault{"/parallel/ep",
                     "a divisor or a multiple of the expert groups, " + Number(m.moe.groups), ""};
  return std::nullopt;
}

// With times of 0: what a schedule refuses does not depend on them.
PipelineShape ShapeOf(const Parallel& p, const PipelineSchedule& schedule, int micro_batches) {
  PipelineShape shape{
      .stages = p.pp, .micro_batches = micro_batches, .chunks = p.vpp, .copies = schedule.copies};
  shape.forward.resize(static_cast<size_t>(shape.virtual_stages()));
  shape.backward = shape.weight = shape.forward;
  return shape;
}

Fault CheckStages(const Plan& plan, const Model& m) {
  const Parallel& p = plan.parallel;
  std::vector<std::string_view> names;
  for (const PipelineSchedule& s : PipelineSchedules()) names.push_back(s.name);
  const PipelineSchedule* schedule = FindPipelineSchedule(plan.schedule);
  if (!schedule)
    return PlanFault{"/schedule", "one of " + Join(names), Nearest(plan.schedule, names)};
  if (p.vpp < schedule->least_chunks || p.vpp > schedule->most_chunks)
    return PlanFault{"/parallel/vpp",
                     Number(schedule->least_chunks) + " with the schedule " + plan.schedule, ""};
  if (plan.memory_limit && !schedule->times_matter) {
    std::vector<std::string_view> limited;
    for (const PipelineSchedule& s : PipelineSchedules())
      if (s.times_matter) limited.push_back(s.name);
    return PlanFault{"/memory_limit",
                     "no limit with the schedule " + plan.schedule + ", whose order is fixed; " +
                         Join(limited, " and ") + " are built within one",
                     ""};
  }
  const int64_t virtual_stages = int64_t{1} * p.pp * p.vpp;
  if (virtual_stages > m.layers())
    return PlanFault{p.vpp > 1 ? "/parallel/vpp" : "/parallel/pp",
                     "at most " + Number(m.layers() / (p.vpp > 1 ? p.pp : 1)) +
                         ": each of pp * vpp stages holds at least "
                         "one of the " +
                         Number(m.layers()) + " layers",
                     ""};
  // What the schedule does not take with any number of micro-batches.
  if (2 * p.pp * virtual_stages <= kMaxPipelineTasks) {
    const std::string expected = RejectPipeline(*schedule, ShapeOf(p, *schedule, 2 * p.pp));
    if (!expected.empty()) return PlanFault{"/parallel/pp", expected, ""};
  }
  if (!plan.stage_layers.balanced()) {
    const std::vector<int>& layers = plan.stage_layers.layers;
    if (static_cast<int64_t>(layers.size()) != virtual_stages)
      return PlanFault{"/stage_layers",
                       Number(virtual_stages) + " numbers, one for each of pp * vpp stages", ""};
    for (const int n : layers)
      if (n < 1) return PlanFault{"/stage_layers", "at least one layer on every stage", ""};
    const int64_t sum = std::accumulate(layers.begin(), layers.end(), int64_t{0});
    if (sum != m.layers())
      return PlanFault{
          "/stage_layers",
          "numbers that sum to the " + Number(m.layers()) + " layers, not " + Number(sum), ""};
  }
  return std::nullopt;
}

// How much a phase trains, and its batch where that is none of the plan's business.
Fault CheckExtent(const TrainingPhase& phase, const std::string& at) {
  const int given =
      phase.tokens.has_value() + phase.steps.has_value() + phase.sequences.has_value();
  if (given != 1) return PlanFault{at, "one of tokens, steps and sequences", ""};
  if (phase.mean_length && !phase.sequences)
    return PlanFault{at + "/mean_length", "sequences, whose mean length it would be", ""};
  if (phase.mean_length && *phase.mean_length > static_cast<double>(phase.sequence_length))
    return PlanFault{
        at + "/mean_length",
        "at most the sequence_length they are packed into, " + Number(phase.sequence_length), ""};
  if (!phase.global_batch_from) return std::nullopt;
  if (phase.steps)
    return PlanFault{at + "/global_batch_from",
                     "tokens or sequences in place of steps: the batch follows them", ""};
  if (*phase.global_batch_from > phase.global_batch)
    return PlanFault{at + "/global_batch_from",
                     "at most the global_batch it grows to, " + Number(phase.global_batch), ""};
  return std::nullopt;
}

Fault CheckBatch(const Plan& plan, int64_t batch, const std::string& at) {
  const Parallel& p = plan.parallel;
  const int64_t at_once = plan.micro_batch * p.dp;
  if (batch % at_once != 0)
    return PlanFault{at, "a multiple of micro_batch * dp, " + Number(at_once), ""};
  const int64_t micro_batches = batch / at_once;
  if (micro_batches > kMaxPipelineTasks / (int64_t{1} * p.pp * p.vpp))
    return PlanFault{at,
                     "at most " + Number(kMaxPipelineTasks) +
                         " stages * chunks * micro-batches, not " + Number(micro_batches) +
                         " micro-batches",
                     ""};
  const PipelineSchedule& schedule = *FindPipelineSchedule(plan.schedule);
  if (const std::string expected =
          RejectPipeline(schedule, ShapeOf(p, schedule, static_cast<int>(micro_batches)));
      !expected.empty())
    return PlanFault{at, expected, ""};
  return std::nullopt;
}

Fault CheckPhases(const Plan& plan, const Model& model) {
  const Parallel& p = plan.parallel;
  if (plan.phases.empty()) return PlanFault{"/phases", "at least one phase", ""};
  for (size_t i = 0; i < plan.phases.size(); ++i) {
    const TrainingPhase& phase = plan.phases[i];
    const std::string at = "/phases/" + Number(static_cast<int64_t>(i));
    if (Fault f = CheckExtent(phase, at)) return f;
    // Products of these numbers stay far inside 64 bits.
    const int64_t tokens = plan.micro_batch * phase.sequence_length,
                  choices = std::max(1, model.moe.top_k);
    if (tokens > kMaxMicroBatchTokens / choices)
      return PlanFault{at + "/sequence_length",
                       "at most " + Number(kMaxMicroBatchTokens / choices) +
                           " tokens in a micro-batch, not " + Number(tokens),
                       ""};
    if (Fault f = CheckBatch(plan, phase.global_batch, at + "/global_batch")) return f;
    if (phase.global_batch_from)
      if (Fault f = CheckBatch(plan, *phase.global_batch_from, at + "/global_batch_from")) return f;
    if (p.cp > 1 && phase.sequence_length % (2 * p.cp) != 0)
      return PlanFault{
          at + "/sequence_length",
          "a multiple of 2 cp, " + Number(2 * p.cp) + ": each rank takes two slices of a sequence",
          ""};
    if (p.tp > 1 && p.sequence && plan.micro_batch * phase.sequence_length / p.cp % p.tp != 0)
      return PlanFault{at + "/sequence_length",
                       "a number of tokens that tp, " + Number(p.tp) + ", divides", ""};
  }
  return std::nullopt;
}

// Sums and states of the optimizer are kept in formats that hold small differences.
Fault CheckPrecision(const Precision& p) {
  const std::pair<const char*, Dtype> sums[] = {{"main_grad", p.main_grad},
                                                {"grad_reduce", p.grad_reduce},
                                                {"master", p.master},
                                                {"moments", p.moments}};
  for (const auto& [name, dtype] : sums)
    if (dtype != Dtype::kFp32 && dtype != Dtype::kBf16)
      return PlanFault{std::string("/precision/") + name, "fp32 or bf16", ""};
  return std::nullopt;
}

// Whether some group of the plan runs the kind.
bool Runs(const Plan& plan, CollectiveKind kind, GroupKind group) {
  const bool gathers = kind == CollectiveKind::kAllGather,
             scatters = kind == CollectiveKind::kReduceScatter,
             reduces = kind == CollectiveKind::kAllReduce;
  const Parallel& p = plan.parallel;
  switch (group) {
    case GroupKind::kTp:  // overlapped they are no matter of choice
      return !plan.overlap.tp && (p.sequence ? gathers || scatters : reduces);
    case GroupKind::kCp:
      return gathers || scatters;
    case GroupKind::kEp:
      return kind == CollectiveKind::kDispatch || kind == CollectiveKind::kCombine;
    case GroupKind::kData:
    case GroupKind::kExpertData:
      return p.zero == 0 ? reduces : gathers || scatters;
    case GroupKind::kPipelineNext:
    case GroupKind::kWorld:
      return false;
  }
  return false;
}

// Algorithms by name: that there are such, and that they run on the groups that would.
Fault CheckCollectives(const Plan& plan, const Cluster& cluster) {
  const Placement placement = PlacementOf(plan.parallel);
  const int copies = FindPipelineSchedule(plan.schedule)->copies;
  const Routes routes(cluster);
  const std::pair<const char*, CollectiveKind> kinds[] = {
      {"all_gather", CollectiveKind::kAllGather},
      {"reduce_scatter", CollectiveKind::kReduceScatter},
      {"all_reduce", CollectiveKind::kAllReduce},
      {"dispatch", CollectiveKind::kDispatch},
      {"combine", CollectiveKind::kCombine}};
  for (const auto& [field, kind] : kinds) {
    const std::string_view name = plan.collectives.Of(kind);
    if (name == kAutoAlgorithm) continue;
    const std::string at = std::string("/collectives/") + field;
    const CollectiveAlgorithm* algorithm = FindAlgorithm(kind, name);
    if (!algorithm) {
      const auto names = AlgorithmNames(kind);
      return PlanFault{at, "auto or one of " + Join(names), Nearest(name, names)};
    }
    for (const auto& group : EnumNames<GroupKind>::kNames) {
      if (!Runs(plan, kind, group.value)) continue;
      const std::string_view expected =
          Unfit(*algorithm, GroupOf(placement, group.value, {}, copies), routes);
      if (!expected.empty())
        return PlanFault{at,
                         "an algorithm for the ranks of " + std::string(group.name) + ": " +
                             std::string(name) + " takes " + std::string(expected),
                         ""};
    }
  }
  return std::nullopt;
}

Fault CheckOverlap(const Overlap& overlap, const Device& device) {
  if (overlap.communication_sms < device.sms) return std::nullopt;
  return PlanFault{"/overlap/communication_sms",
                   "at most " + Number(device.sms - 1) + ", which leave one of the " +
                       Number(device.sms) + " SMs of " + device.name,
                   ""};
}

}  // namespace

std::optional<PlanFault> CheckPlan(const Plan& plan, const Model& model, const Cluster& cluster) {
  const Parallel& p = plan.parallel;
  std::vector<Axis> axes = p.rank_order;
  std::sort(axes.begin(), axes.end());
  if (axes != std::vector<Axis>{Axis::kTp, Axis::kCp, Axis::kEp, Axis::kEdp, Axis::kPp})
    return PlanFault{"/parallel/rank_order", "each of tp, cp, ep, dp, pp once", ""};
  if (Fault f = CheckPrecision(plan.precision)) return f;
  if (Fault f = CheckTensorParallel(p, model)) return f;
  if (Fault f = CheckExpertParallel(p, model)) return f;
  if (Fault f = CheckStages(plan, model)) return f;
  if (p.gpus() > cluster.gpus)
    return PlanFault{"/parallel",
                     "tp * pp * cp * dp of at most the cluster's " + Number(cluster.gpus) +
                         " GPUs, not " + Number(p.gpus()),
                     ""};
  if (Fault f = CheckCollectives(plan, cluster)) return f;
  if (Fault f = CheckPhases(plan, model)) return f;
  if (Fault f = CheckOverlap(plan.overlap, cluster.device)) return f;
  for (size_t i = 0; i < plan.recompute.size(); ++i) {
    const std::string at = "/recompute/" + Number(static_cast<int64_t>(i));
    if (std::count(plan.recompute.begin(), plan.recompute.end(), plan.recompute[i]) > 1)
      return PlanFault{at, "each operator once", ""};
    if (plan.recompute[i] == Recompute::kLayer && plan.recompute.size() > 1)
      return PlanFault{at, "\"layer\" alone: it covers all others", ""};
    if (plan.recompute[i] == Recompute::kMlaUp && !model.attention.kind->has_latents)
      return PlanFault{at, "operators the model has: it has no multi-head latent attention", ""};
    if (plan.recompute[i] == Recompute::kPermute && model.moe.experts == 0)
      return PlanFault{at, "operators the model has: it has no experts", ""};
  }
  if (const auto f = CheckRouting(plan.routing, model.moe, plan.parallel.ep))
    return PlanFault{"/routing" + f->pointer, f->expected, ""};
  return std::nullopt;
}

std::vector<int64_t> BatchesOf(const Plan& plan, const TrainingPhase& phase) {
  std::vector<int64_t> batches;
  const int64_t least = phase.global_batch_from.value_or(phase.global_batch);
  for (int64_t batch = least; batch <= phase.global_batch;
       batch += plan.micro_batch * plan.parallel.dp)
    if (!CheckBatch(plan, batch, "")) batches.push_back(batch);
  return batches;
}

std::optional<PlanFault> CheckReliability(const Reliability& reliability, const Model& model,
                                          const Plan& plan, const Cluster& cluster) {
  // Far beyond what one would run: e^10 times the work. Keeps the exponentials finite.
  constexpr int kMost = 10;
  const Outages o = OutagesOf(reliability, model, plan, cluster);
  const std::string expected = "at most " + ShowNumber(o.mtbf.value * kMost / 3600) + " h, " +
                               Number(kMost) + " times the mean time between failures of " +
                               Number(plan.parallel.gpus()) + " GPUs";
  const std::pair<const char*, Seconds> times[] = {
      {"/checkpoint_interval", reliability.checkpoint_interval.value_or(Seconds(0))},
      {"/checkpoint_write", o.checkpoint_write},
      {"/restart", o.restart}};
  for (const auto& [pointer, time] : times)
    if (time > o.mtbf * kMost) return PlanFault{pointer, expected, ""};
  return std::nullopt;
}

}  // namespace moecast
