#include "sim/training/blocks.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {
namespace {

// What runs beside the device's own share of an optimizer, bucket by bucket, ends with the longest.
// Weights are cast when all are there.
BlockTime AtOnce(const CostedOps& costed, std::span<const Seconds> times) {
  Seconds longest;
  Seconds cast;
  for (size_t i = 0; i < costed.ops.size(); ++i) {
    if (costed.ops[i].name == OpName::kWeightCast)
      cast = times[i];
    else
      longest = std::max(longest, times[i]);
  }
  return {.total = longest + cast, .busy = {}, .recomputed = {}, .exposed = {}};
}

BlockTime Solve(const StepBlock& block, std::span<const Seconds> times) {
  return block.order == OpOrder::kAtOnce ? AtOnce(block.costed, times)
                                         : SolveBlock(block.costed, times);
}

}  // namespace

BlockTime SolveAlone(const StepBlock& block) {
  std::vector<Seconds> times;
  times.reserve(block.costed.costs.size());
  for (const Cost& cost : block.costed.costs) times.push_back(cost.time);
  return Solve(block, times);
}

Seconds TotalOf(const StepBlock& block, std::span<const Seconds> times) {
  const std::vector<Op>& ops = block.costed.ops;
  const auto computes = [](const Op& op) { return op.stream() == Stream::kCompute; };
  if (block.order != OpOrder::kOnStreams || !block.costed.list_ends.empty() ||
      !std::all_of(ops.begin(), ops.end(), computes))
    return Solve(block, times).total;
  Seconds total;
  for (size_t i = 0; i < ops.size(); ++i) total += times[i];
  return total;
}

const StepBlock* StepBlocks::Find(int32_t id) const {
  if (id < BlockIds::kSend) {
    const bool of_pass = id < BlockIds::kFirstMove;
    const BlockKind kind = of_pass ? KindOf(id) : MoveOf(id).kind;
    const LayerBlocks* layer = layers[static_cast<size_t>(kind)].get();
    if (!layer) return nullptr;
    if (of_pass) return &layer->passes[static_cast<size_t>(PassOf(id))];
    const DataMove move = MoveOf(id);
    return &(move.reduces ? layer->grad_reduce : layer->param_gather)[move.group];
  }
  if (id == BlockIds::kSend) return &send;
  const auto of_stage = static_cast<size_t>(id - BlockIds::kFirstOfStages);
  if (of_stage < 2 * of_stages.size()) {
    const OfStage& stage = of_stages[of_stage / 2];
    return (of_stage % 2 == 0 ? stage.grad_norm : stage.optimizer).get();
  }
  return &pairs[of_stage - 2 * of_stages.size()];
}

const StepBlock& StepBlocks::operator[](int32_t id) const {
  const StepBlock* block = Find(id);
  MOECAST_CHECK(block != nullptr);
  return *block;
}

void StepBlocks::Each(const std::function<void(const StepBlock&)>& visit) const {
  for (int32_t id = 0; id < size(); ++id)
    if (const StepBlock* block = Find(id)) visit(*block);
}

std::vector<BlockTime> SolveBlocks(const StepBlocks& blocks, const OpTimes& time_of) {
  std::vector<BlockTime> solved(static_cast<size_t>(blocks.size()));
  // Of all blocks one after another, and where each begins: pairs take those of their parts.
  std::vector<Seconds> times;
  std::vector<size_t> begins(solved.size());
  for (int32_t id = 0; id < blocks.size(); ++id) {
    const StepBlock* block = blocks.Find(id);
    if (!block) continue;
    // Stages that hold alike share the blocks that they update with.
    const int32_t before = id - 2;
    if (before >= BlockIds::kFirstOfStages && blocks.Find(before) == block) {
      solved[id] = solved[before];
      continue;
    }
    begins[id] = times.size();
    const std::vector<Cost>& costs = block->costed.costs;
    if (block->parts.empty()) {
      for (size_t i = 0; i < costs.size(); ++i)
        times.push_back(time_of(costs[i], block->position + i));
    }
    for (const int32_t part : block->parts)
      for (size_t i = 0; i < blocks[part].costed.ops.size(); ++i)
        times.push_back(times[begins[part] + i]);
    solved[id] = Solve(*block, std::span(times).subspan(begins[id]));
  }
  return solved;
}

std::vector<BlockTime> MedianTimes(const StepBlocks& blocks) {
  std::vector<BlockTime> times(static_cast<size_t>(blocks.size()));
  for (int32_t id = 0; id < blocks.size(); ++id)
    if (const StepBlock* block = blocks.Find(id)) times[id] = block->alone;
  return times;
}

BlockTime TimeOf(const Program& program, std::span<const BlockTime> times) {
  BlockTime sum;
  for (const ProgramStep& step : program) sum += times[step.block] * step.times;
  return sum;
}

}  // namespace moecast
