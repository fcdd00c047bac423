// V-Half and V-Min (arXiv 2405.15362): V placement in a half and a third of the memory of 1F1B. A
// building block says at which slots of one chunk task a stage runs F of chunk 0, F of chunk 1, B
// of chunk 1 and B of chunk 0 of a micro-batch; it repeats every six slots (two F, two B, two W),
// and weight gradients take the slots left. How long the blocks live is the memory: from stage to
// stage F and B of V-Half go on by 2, 1, 2 and 1 slots (6 p slots in all), those of V-Min by 1 each
// (4 p), where those of 1F1B take 12 p.
//
// The paper then squeezes and reorders the repeated blocks. We keep the shorter of two orders: the
// repeated blocks each as early as it can run, and the earliest block first of what is ready,
// within the memory of the former.
#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "sim/pipeline/orders.h"
#include "sim/pipeline/v_placement.h"

namespace moecast {
namespace {

constexpr int kInterval = 6;
constexpr VTask kPasses[] = {
    {Phase::kForward, 0}, {Phase::kForward, 1}, {Phase::kBackward, 1}, {Phase::kBackward, 0}};
// By pass: its slot in the block of micro-batch 0 on a stage.
using Block = std::array<int, 4>;

// Slots that would fall together for this p are put apart before B of chunk 1.
Block HalfBlock(int p, int s) {
  const int apart = p % 2 == 0 ? 3 : 0;
  return {2 * s, 3 * p - 2 - s, 3 * p - 1 + apart + 2 * s, 6 * p - 2 + apart - s};
}
Block MinBlock(int p, int s) {
  const int apart = p % 3 == 0 ? 2 : 0;
  return {s, 2 * p - 1 - s, 2 * p + apart + s, 4 * p - 1 + apart - s};
}

// A stage's repeated block with weight gradients, oldest first, in the slots left.
std::vector<VTask> Repeat(const Block& block, int micro_batches) {
  struct Placed {
    int slot;
    VTask task;
  };
  std::vector<Placed> placed;
  for (int i = 0; i < micro_batches; ++i)
    for (size_t k = 0; k < block.size(); ++k)
      placed.push_back({block[k] + kInterval * i, kPasses[k]});
  std::sort(placed.begin(), placed.end(),
            [](const Placed& a, const Placed& b) { return a.slot < b.slot; });
  std::vector<VTask> tasks;
  int slot = 0, pending = 0;
  for (const Placed& next : placed) {
    MOECAST_CHECK(tasks.empty() || next.slot >= slot);
    for (; slot < next.slot && pending > 0; ++slot, --pending) tasks.push_back({Phase::kWeight});
    tasks.push_back(next.task);
    pending += next.task.phase == Phase::kBackward;
    slot = next.slot + 1;
  }
  tasks.insert(tasks.end(), static_cast<size_t>(pending), {Phase::kWeight});
  return tasks;
}

bool Ready(const VStage& stage, const VTask& task) {
  return task.phase == Phase::kForward    ? stage.forward_ready[task.chunk]
         : task.phase == Phase::kBackward ? stage.backward_ready[task.chunk]
                                          : stage.weight_pending;
}

PipelineOrder Blocks(const PipelineShape& shape, Block (*block_of)(int p, int s)) {
  std::vector<Block> block;
  std::vector<std::vector<VTask>> repeated;
  for (int s = 0; s < shape.stages; ++s) {
    block.push_back(block_of(shape.stages, s));
    repeated.push_back(Repeat(block.back(), shape.micro_batches));
  }

  std::vector<size_t> next(repeated.size());
  std::vector<std::array<int, 2>> most(repeated.size());  // alive, by stage and chunk
  int most_chunks = 0;
  std::optional<VOrder> best =
      ChooseBySlot(shape, [&](int s, const VStage& stage) -> std::optional<VTask> {
        for (int c = 0; c < 2; ++c) most[s][c] = std::max(most[s][c], stage.alive[c]);
        most_chunks = std::max(most_chunks, stage.alive_chunks());
        if (next[s] == repeated[s].size() || !Ready(stage, repeated[s][next[s]]))
          return std::nullopt;
        return repeated[s][next[s]++];
      });
  MOECAST_CHECK(best.has_value());

  std::optional<VOrder> reordered = ChooseBySlot(shape, [&](int s, const VStage& stage) {
    std::optional<VTask> earliest;
    int earliest_slot = 0;
    for (size_t k = 0; k < block[s].size(); ++k) {
      const VTask& task = kPasses[k];
      const bool forward = task.phase == Phase::kForward;
      if (!Ready(stage, task)) continue;
      if (forward &&
          (stage.alive[task.chunk] >= most[s][task.chunk] || stage.alive_chunks() >= most_chunks))
        continue;
      const int slot =
          block[s][k] + kInterval * (forward ? stage.forwards : stage.backwards)[task.chunk];
      if (earliest && earliest_slot <= slot) continue;
      earliest = task;
      earliest_slot = slot;
    }
    if (!earliest && stage.weight_pending) earliest = VTask{Phase::kWeight};
    return earliest;
  });
  if (reordered && reordered->span < best->span) best = std::move(reordered);
  LimitWeightDelay(shape, best->order);
  return best->order;
}

}  // namespace

PipelineOrder VHalf(const PipelineShape& shape) {
  return Blocks(shape, HalfBlock);
}

PipelineOrder VMin(const PipelineShape& shape) {
  return Blocks(shape, MinBlock);
}

}  // namespace moecast
