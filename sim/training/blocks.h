// The blocks of a training step: every distinct piece of work that some task of it runs, with its
// ops, their costs and its time alone. Each pass of each kind of layer is one; so is, on each
// communicator of data parallelism, the reduction of its gradients and the gather of its weights, a
// send between stages, the gradient norm and the optimizer of each stage, and, where the schedule
// overlaps passes, each distinct pair of a forward and a full backward.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "costmodel/op_cost.h"
#include "sim/engine/block.h"
#include "sim/training/layout.h"

namespace moecast {

// The communicators of data parallelism: dp, and edp of the experts' weights.
inline constexpr int kDataGroups = 2;
inline constexpr GroupKind kDataGroupKinds[kDataGroups] = {GroupKind::kData,
                                                           GroupKind::kExpertData};

// Numbers of the blocks of a step. A block that a step does not have keeps its number.
struct BlockIds {
  int stages = 0;

  static constexpr int32_t Of(BlockKind kind, Pass pass) {
    return static_cast<int32_t>(kind) * kPasses + static_cast<int32_t>(pass);
  }
  // On the communicator of that place in kDataGroupKinds.
  static constexpr int32_t GradReduce(BlockKind kind, int group) {
    return kFirstMove + group * kBlockKinds + static_cast<int32_t>(kind);
  }
  static constexpr int32_t ParamGather(BlockKind kind, int group) {
    return GradReduce(kind, kDataGroups + group);
  }
  static constexpr int32_t kFirstMove = kBlockKinds * kPasses;
  static constexpr int32_t kSend = kFirstMove + 2 * kDataGroups * kBlockKinds;
  static constexpr int32_t kFirstOfStages = kSend + 1;
  static constexpr int32_t GradNorm(int stage) { return kFirstOfStages + 2 * stage; }
  static constexpr int32_t Optimizer(int stage) { return GradNorm(stage) + 1; }
  int32_t Pair(size_t pair) const { return GradNorm(stages) + static_cast<int32_t>(pair); }
};

// A reduction of gradients or a gather of weights, by its number. REQUIRES: it is one.
struct DataMove {
  BlockKind kind;
  bool reduces;
  int group;  // place in kDataGroupKinds
};
constexpr DataMove MoveOf(int32_t id) {
  const int32_t move = id - BlockIds::kFirstMove;
  const int32_t which = move / kBlockKinds;
  return {static_cast<BlockKind>(move % kBlockKinds), which < kDataGroups, which % kDataGroups};
}

// Of the number of a pass of a layer.
constexpr BlockKind KindOf(int32_t id) {
  return static_cast<BlockKind>(id / kPasses);
}
constexpr Pass PassOf(int32_t id) {
  return static_cast<Pass>(id % kPasses);
}

// How the ops of a block follow each other.
enum class OpOrder : uint8_t {
  kOnStreams,  // SolveBlock: in order on the streams of a rank
  kAtOnce,     // all beside each other, and what casts weights behind them
};

// Bytes sent by one GPU.
struct SentBytes {
  Bytes nvlink;
  Bytes network;
};

struct StepBlock {
  CostedOps costed;
  OpOrder order = OpOrder::kOnStreams;
  // Of an overlapped pair: the blocks whose ops it runs, by number, in the order of its ops. An op
  // takes as long in a pair as it does alone.
  std::vector<int32_t> parts;
  // The ops of a step are told apart by this number plus their place in the block.
  uint64_t position = 0;
  BlockTime alone;  // at the median costs, on idle links
  SentBytes sent;
};

// At the median costs, on idle links.
BlockTime SolveAlone(const StepBlock& block);
// All of it where its ops take these times; a sum where nothing communicates.
Seconds TotalOf(const StepBlock& block, std::span<const Seconds> times);

// Time of an op whose cost this is; `position` tells the ops of a step apart.
using OpTimes = std::function<Seconds(const Cost& cost, uint64_t position)>;

// What a kind of layer is made of, and its passes.
struct LayerBlocks {
  BlockOps ops;
  BlockParameters parameters;
  std::array<StepBlock, kPasses> passes;
  // By communicator; without ops where it has no weights there.
  std::array<StepBlock, kDataGroups> grad_reduce;
  std::array<StepBlock, kDataGroups> param_gather;
  SentBytes data_parallel;  // that a GPU sends of gradients and weights in a step, of one layer
  // What a pass takes more than at the mean load of the experts, as a part of it: by place in
  // ExpertLoads::at, of F and B. Weight gradients wait for no other rank.
  std::array<std::vector<double>, kPasses> excess;
};

class StepBlocks {
 public:
  const LayerBlocks& layer(BlockKind kind) const { return *layers[static_cast<size_t>(kind)]; }
  bool Has(BlockKind kind) const { return layers[static_cast<size_t>(kind)] != nullptr; }
  const StepBlock& Of(BlockKind kind, Pass pass) const {
    return layer(kind).passes[static_cast<size_t>(pass)];
  }
  // The block of that number; null where the step does not have it.
  const StepBlock* Find(int32_t id) const;
  const StepBlock& operator[](int32_t id) const;
  int32_t size() const { return BlockIds{stages()}.Pair(pairs.size()); }
  int stages() const { return static_cast<int>(of_stages.size()); }
  // visit(StepBlock) for every block that the step has: with it every cost that a step is made of.
  void Each(const std::function<void(const StepBlock&)>& visit) const;

  std::array<std::shared_ptr<const LayerBlocks>, kBlockKinds> layers;  // null: the model has none
  StepBlock send;  // from a stage to the next, of one micro-batch
  // The gradient norm and the optimizer of a stage.
  struct OfStage {
    std::shared_ptr<const StepBlock> grad_norm;
    std::shared_ptr<const StepBlock> optimizer;
  };
  std::vector<OfStage> of_stages;
  std::vector<StepBlock> pairs;
  std::vector<int32_t> pair_of;  // by virtual stage of the forward: index into pairs
};

// Times of all blocks, by number, where ops take `time_of`; of those that the step does not have
// none.
std::vector<BlockTime> SolveBlocks(const StepBlocks& blocks, const OpTimes& time_of);
// At the median costs.
std::vector<BlockTime> MedianTimes(const StepBlocks& blocks);

// The blocks of a program one after another.
BlockTime TimeOf(const Program& program, std::span<const BlockTime> times);

}  // namespace moecast
