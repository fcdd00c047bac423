#include "sim/training/peak_memory.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "sim/pipeline/timeline.h"

namespace moecast {
namespace {

// Blocks that hold what a pass left them, by kind.
using BlockCounts = std::array<int, kBlockKinds>;
struct Held {
  BlockCounts forwarded{};   // forward pass done, backward pass not
  BlockCounts backwarded{};  // backward pass done, weight pass not
};

// What each micro-batch of a chunk holds when the tasks of the stage's compute lane up to `last`
// hold the most: of a pair that frees more than it keeps, before its backward.
std::map<std::pair<int, int>, Held> HeldAt(const Step& step, int stage, int32_t last,
                                           const AliveBytes& alive) {
  const TrainingSchedule& schedule = step.schedule();
  std::map<std::pair<int, int>, Held> held;
  for (int32_t i = schedule.lane_begin[stage]; i <= last; ++i) {
    const Task& t = schedule.tasks[i];
    if (!OfPipeline(t.phase)) continue;
    EachPass(step.layout, stage, t, [&](const TaskPass& ran) {
      if (i == last && ran.pass != Pass::kForward && alive.most > alive.after) return;
      Held& h = held[{ran.chunk, ran.micro_batch}];
      const size_t kind = static_cast<size_t>(ran.block->kind);
      h.forwarded[kind] += (ran.pass == Pass::kForward) - (ran.pass == Pass::kBackward);
      h.backwarded[kind] += (ran.pass == Pass::kBackward) - (ran.pass == Pass::kWeight);
    });
  }
  return held;
}

std::string NameOfTensor(const KeptTensor& t) {
  return std::string(NameOf(t.op)) + " " + std::string(NameOf(t.tensor)) +
         (t.recomputed ? ", computed again" : "");
}

class Lister {
 public:
  Lister(const Step& step, int stage) : step_(step), stage_(stage) {}

  // Parameters by the group that reduces their gradients.
  void States() {
    BlockParameters held;
    for (const int v : step_.layout.map.Held(stage_)) {
      for (const BlockRun& run : step_.layout.runs[v]) {
        held.data += run.count * step_.blocks.layer(run.kind).parameters.data;
        held.expert += run.count * step_.blocks.layer(run.kind).parameters.expert;
      }
    }
    const ShardPlan shard = ShardOf(step_.plan());
    const StateBytes data = StatesOf({.data = held.data}, shard, step_.shape.copies);
    const StateBytes expert = StatesOf({.expert = held.expert}, shard, step_.shape.copies);
    const Precision& p = step_.plan().precision;
    const auto both = [&](const char* part, const std::string& what, Bytes StateBytes::*bytes) {
      Add({.part = part, .what = "data-parallel parameters, " + what, .bytes = data.*bytes});
      Add({.part = part, .what = "expert parameters, " + what, .bytes = expert.*bytes});
    };
    const auto format = [](Dtype d) { return std::string(NameOf(d)); };
    both("weights",
         format(p.weight_format()) +
             (WeightCopyBytes(p) > 0 ? " and copies in " + format(p.gemm) : ""),
         &StateBytes::weights);
    both("gradients", format(p.main_grad), &StateBytes::gradients);
    both("optimizer", "master weights, " + format(p.master), &StateBytes::master);
    both("optimizer", "two moments, " + format(p.moments), &StateBytes::moments);
  }

  void Activations(int32_t last, const AliveBytes& alive) {
    BlockCounts forwarded{};
    BlockCounts backwarded{};
    BlockCounts holding_forwarded{};
    BlockCounts holding_backwarded{};
    BlockCounts holding_either{};
    for (const auto& [micro_batch, h] : HeldAt(step_, stage_, last, alive)) {
      for (size_t k = 0; k < kBlockKinds; ++k) {
        forwarded[k] += h.forwarded[k];
        backwarded[k] += h.backwarded[k];
        holding_forwarded[k] += h.forwarded[k] > 0;
        holding_backwarded[k] += h.backwarded[k] > 0;
        holding_either[k] += h.forwarded[k] + h.backwarded[k] > 0;
      }
    }
    for (size_t k = 0; k < kBlockKinds; ++k) {
      const BlockKind kind = static_cast<BlockKind>(k);
      if (!step_.blocks.Has(kind)) continue;
      for (const KeptTensor& t : step_.blocks.layer(kind).ops.tensors) {
        if (t.lifetime == Lifetime::kUntilBackward)
          AddTensor("activations", kind, t, forwarded[k], holding_forwarded[k]);
        if (t.lifetime == Lifetime::kUntilWeight)
          AddTensor("activations", kind, t, forwarded[k] + backwarded[k], holding_either[k]);
        if (t.lifetime == Lifetime::kForWeight)
          AddTensor("activations", kind, t, backwarded[k], holding_backwarded[k]);
      }
    }
  }

  void Rest(const StageMemory& memory) {
    for (const BlockKind kind : memory.transient_of)
      for (const KeptTensor& t : step_.blocks.layer(kind).ops.tensors)
        if (t.lifetime == Lifetime::kWithinPass) AddTensor("transient", kind, t, 1, 0);
    Add({.part = "buffers", .what = "pipeline receive buffers", .bytes = memory.receive_buffers});
    Add({.part = "buffers",
         .what =
             "two buckets of gradients, " + std::string(NameOf(step_.plan().precision.grad_reduce)),
         .bytes = memory.buckets});
    Add({.part = "runtime", .what = "CUDA context and NCCL", .bytes = memory.runtime});
  }

  // Parts in the order they were added, the largest rows of each first.
  std::vector<PeakRow> Take() {
    for (auto begin = rows_.begin(); begin != rows_.end();) {
      const auto end = std::find_if(begin, rows_.end(),
                                    [&](const PeakRow& row) { return row.part != begin->part; });
      std::stable_sort(begin, end,
                       [](const PeakRow& a, const PeakRow& b) { return a.bytes > b.bytes; });
      begin = end;
    }
    return std::move(rows_);
  }

 private:
  void Add(PeakRow row) {
    if (row.bytes.value > 0) rows_.push_back(std::move(row));
  }
  // Tensors of one name and lifetime are one row.
  void AddTensor(const char* part, BlockKind kind, const KeptTensor& t, int copies,
                 int micro_batches) {
    PeakRow row{.part = part,
                .block = std::string(NameOf(kind)),
                .what = NameOfTensor(t),
                .until = std::string(NameOf(t.lifetime)),
                .copies = copies,
                .micro_batches = micro_batches,
                .bytes = t.bytes * copies};
    for (PeakRow& known : rows_) {
      if (known.part != row.part || known.block != row.block || known.what != row.what ||
          known.until != row.until)
        continue;
      known.bytes += row.bytes;
      return;
    }
    Add(std::move(row));
  }

  const Step& step_;
  const int stage_;
  std::vector<PeakRow> rows_;
};

}  // namespace

PeakMemory PeakMemoryOf(const Step& step, int stage) {
  const StageMemory memory = step.memory[stage];
  const std::vector<AliveBytes> alive =
      ActivationsAlong(step.layout, step.blocks, step.schedule(), stage);
  const auto most =
      std::max_element(alive.begin(), alive.end(),
                       [](const AliveBytes& a, const AliveBytes& b) { return a.most < b.most; });
  const int32_t task =
      step.schedule().lane_begin[stage] + static_cast<int32_t>(most - alive.begin());
  const Task& t = step.schedule().tasks[task];
  Lister lister(step, stage);
  lister.States();
  lister.Activations(task, *most);
  lister.Rest(memory);
  return {.rank = step.RankOfStage(stage),
          .stage = stage,
          .total = memory.total(),
          .task = task,
          .task_name = TaskName(t),
          .micro_batch = t.micro_batch,
          .chunk = t.chunk,
          .at = step.timing.start[task],  // a task's tensors are counted from its start
          .rows = lister.Take()};
}

}  // namespace moecast
