#include "sim/training/memory.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

// What a pass of a block adds to what is alive.
double KeptBy(const BlockMemory& m, Pass pass) {
  switch (pass) {
    case Pass::kForward:
      return m.kept().value;
    case Pass::kBackward:
      return (m.gradients - m.until_backward).value;
    case Pass::kWeight:
      return -(m.until_weight + m.gradients).value;
    case Pass::kPrefill:
    case Pass::kDecode:
      break;  // no pass of a step
  }
  MOECAST_CHECK(false);
}

// What a task adds to what is alive: of a pair its forward, then its full backward, of others all
// at once.
struct Kept {
  double first = 0;
  double then = 0;
};

class KeptByProgram {
 public:
  KeptByProgram(const StepBlocks& blocks, std::span<const Program> programs)
      : pairs_(!blocks.pairs.empty()) {
    by_program_.reserve(programs.size());
    std::vector<Kept> by_block(static_cast<size_t>(blocks.size()));
    for (int k = 0; k < kBlockKinds; ++k) {
      const auto kind = static_cast<BlockKind>(k);
      if (!blocks.Has(kind)) continue;
      for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
        by_block[BlockIds::Of(kind, pass)].first = KeptBy(blocks.layer(kind).ops.memory, pass);
    }
    for (size_t p = 0; p < blocks.pairs.size(); ++p) {
      Kept& kept = by_block[BlockIds{blocks.stages()}.Pair(p)];
      for (const int32_t part : blocks.pairs[p].parts)
        (part % kPasses == 0 ? kept.first : kept.then) += by_block[part].first;
    }
    for (const Program& program : programs) {
      Kept kept;
      for (const ProgramStep& step : program) {
        kept.first += by_block[step.block].first * step.times;
        kept.then += by_block[step.block].then * step.times;
      }
      by_program_.push_back(kept);
    }
  }

  // visit(most, after) for each task of the stage's compute lane.
  template <class Visit>
  void Along(const TrainingSchedule& schedule, int stage, Visit visit) const {
    double alive = 0;
    double peak = 0;
    for (int32_t i = schedule.lane_begin[stage]; i < schedule.lane_begin[stage + 1]; ++i) {
      const Kept& kept = by_program_[schedule.program_of[i]];
      const double before = alive;
      double most = std::max(before, alive += kept.first);
      if (pairs_) most = std::max(most, alive += kept.then);
      visit(most, alive);
      peak = std::max(peak, most);
    }
    // What a step keeps it frees.
    MOECAST_CHECK(alive < 1e-6 * peak + 1 && alive > -1e-6 * peak - 1);
  }

 private:
  bool pairs_;  // else nothing is kept or freed `then`
  std::vector<Kept> by_program_;
};

}  // namespace

std::vector<StageMemory> MemoryWithoutActivations(const TrainingRun& run, const Work& work,
                                                  const Layout& layout, const StepBlocks& blocks,
                                                  int copies) {
  const Plan& plan = run.plan;
  const ShardPlan shard = ShardOf(plan);
  const double tokens = RankTokensOf(work, shard).outside_tp;
  const bool data_parallel = ReducesGradients(shard, copies);
  // Gradients reduced in the format they are summed in need no copy; others go through two buckets.
  const bool in_buckets = data_parallel && plan.precision.grad_reduce != plan.precision.main_grad;
  std::vector<StageMemory> by_stage(static_cast<size_t>(layout.map.stages()));
  for (int stage = 0; stage < layout.map.stages(); ++stage) {
    StageMemory& memory = by_stage[stage];
    double bucket = 0;
    const auto needs = [&](BlockKind kind, const BlockKind* beside) {
      Bytes transient = blocks.layer(kind).ops.memory.transient;
      if (beside) transient += blocks.layer(*beside).ops.memory.transient;
      if (!(transient > memory.transient)) return;
      memory.transient = transient;
      memory.transient_of = {kind};
      if (beside) memory.transient_of.push_back(*beside);
    };
    for (const int v : layout.map.Held(stage)) {
      for (const BlockRun& blocks_run : layout.runs[v]) {
        const BlockParameters& one = blocks.layer(blocks_run.kind).parameters;
        memory.states +=
            StatesOf({one.data * blocks_run.count, one.expert * blocks_run.count}, shard, copies);
        needs(blocks_run.kind, nullptr);
        // Some block of a forward and some of a backward at once.
        if (!blocks.pairs.empty())
          for (const BlockRun& other : layout.runs[layout.map.Beside(v)])
            needs(blocks_run.kind, &other.kind);
        bucket =
            std::max(bucket, (one.data + one.expert) * ElementBytes(plan.precision.grad_reduce));
      }
    }
    // Of activations and of gradients one message arrives while one leaves, bf16. Megatron-LM
    // receives each into a tensor of its own (megatron/core/pipeline_parallel/p2p_communication.py,
    // _communicate) and frees what it sends once it is sent (schedules.py,
    // deallocate_output_tensor). What has arrived and is computed on is counted with the
    // activations.
    constexpr double kMessages = 2 * 2;
    constexpr double kBf16 = 2;
    memory.receive_buffers =
        Bytes(layout.map.stages() > 1 ? kMessages * tokens * run.model.hidden * kBf16 : 0);
    memory.buckets = Bytes(in_buckets ? 2 * bucket : 0);
    memory.runtime = Bytes(kRuntimeBytes.value);
  }
  return by_stage;
}

std::vector<AliveBytes> ActivationsAlong(const Layout& layout, const StepBlocks& blocks,
                                         const TrainingSchedule& schedule, int stage) {
  MOECAST_CHECK(stage >= 0 && stage < layout.map.stages());
  std::vector<AliveBytes> along;
  KeptByProgram(blocks, schedule.programs).Along(schedule, stage, [&](double most, double after) {
    along.push_back({Bytes(most), Bytes(after)});
  });
  return along;
}

std::vector<Bytes> PeakActivations(const Layout& layout, const StepBlocks& blocks,
                                   const TrainingSchedule& schedule) {
  const KeptByProgram kept(blocks, schedule.programs);
  std::vector<Bytes> peaks;
  for (int stage = 0; stage < layout.map.stages(); ++stage) {
    double peak = 0;
    kept.Along(schedule, stage, [&](double most, double) { peak = std::max(peak, most); });
    peaks.push_back(Bytes(peak));
  }
  return peaks;
}

Bytes HostBytesPerNode(const TrainingRun& run, const Placement& placement,
                       std::span<const StageMemory> by_stage) {
  if (run.plan.optimizer.offload == 0) return {};
  const int last = placement.world() - 1;
  std::vector<Bytes> of_node(static_cast<size_t>(run.cluster.NodeOf(last)) + 1);
  for (int gpu = 0; gpu <= last; ++gpu)
    of_node[run.cluster.NodeOf(gpu)] +=
        by_stage[placement.CoordinatesOf(gpu)[Axis::kPp]].states.host;
  return *std::max_element(of_node.begin(), of_node.end());
}

void LimitMemory(const TrainingRun& run, const Layout& layout, const StepBlocks& blocks,
                 std::span<const StageMemory> fixed, PipelineShape& shape) {
  const std::optional<MemoryLimit>& limit = run.plan.memory_limit;
  const bool by_number = limit && limit->micro_batches > 0;
  const Bytes most = limit && !by_number ? limit->bytes : run.cluster.device.memory;
  const auto refuse = [&](const std::string& value, const std::string& expected) {
    throw UserError({.file = run.name,
                     .pointer = "/training/memory_limit",
                     .value = value,
                     .expected = expected});
  };
  bool one_fits = true;
  for (int stage = 0; stage < layout.map.stages(); ++stage) {
    Bytes kept;
    Bytes for_weight;
    for (const int v : layout.map.Held(stage)) {
      for (const BlockRun& of_kind : layout.runs[v]) {
        const BlockMemory& m = blocks.layer(of_kind.kind).ops.memory;
        kept += m.kept() * of_kind.count;
        for_weight += (m.until_weight + m.gradients) * of_kind.count;
      }
    }
    const double ratio = for_weight / kept;
    const double one = std::max(1.0, ratio);
    const Bytes taken = fixed[stage].total();
    shape.stage_kept_for_weight.push_back(ratio);
    if (by_number) {
      if (limit->micro_batches < one)
        refuse(ShowNumber(limit->micro_batches),
               "at least " + ShowNumber(std::ceil(one * 1000) / 1000, 6) +
                   " micro-batches, which one holds alive on stage " + std::to_string(stage));
      continue;
    }
    // What does not fit on the device is an answer; what cannot keep to the plan's own limit is
    // refused.
    if (limit && taken + kept * one > most)
      refuse("\"" + PrintBytes(limit->bytes) + "\"",
             "at least " +
                 PrintBytes(Bytes(std::ceil((taken + kept * one) / MiB(1)) * MiB(1).value)) +
                 ", which stage " + std::to_string(stage) + " takes with one micro-batch");
    shape.stage_limit.push_back((most - taken) / kept);
    one_fits = one_fits && shape.stage_limit.back() >= one;
  }
  // No order fits then; the schedule's own limit says by how much it does not.
  if (!one_fits) shape.stage_limit.clear();
  if (by_number) shape.memory_limit = limit->micro_batches;
  // A limit in bytes takes the place of the schedule's own: no more than all micro-batches are
  // alive.
  if (limit && !by_number)
    shape.memory_limit =
        shape.micro_batches * std::max(1.0, *std::max_element(shape.stage_kept_for_weight.begin(),
                                                              shape.stage_kept_for_weight.end()));
}

}  // namespace moecast
