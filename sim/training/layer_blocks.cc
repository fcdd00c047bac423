#include "sim/training/layer_blocks.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "costmodel/memory.h"
#include "sim/engine/costed_ops.h"

namespace moecast {
namespace {

// What is drawn for the ops of a step is told apart by these numbers.
constexpr uint64_t PositionOf(BlockKind kind, Pass pass) {
  return static_cast<uint64_t>(BlockIds::Of(kind, pass)) * 4096 + 1;
}
// Of what is no pass of a layer.
constexpr uint64_t PositionOf(uint64_t block) {
  return block * 64 + (uint64_t{1} << 32);
}
constexpr uint64_t kGradNormPosition = PositionOf(100);
constexpr uint64_t kOptimizerPosition = PositionOf(101);
constexpr uint64_t kSendPosition = PositionOf(102);

Op CollectiveOp(OpName name, CollectiveKind kind, GroupKind group, double bytes) {
  return {.name = name, .query = CollectiveQuery{kind, group, Bytes(bytes)}};
}

SentBytes& operator+=(SentBytes& a, const SentBytes& b) {
  a.nvlink += b.nvlink;
  a.network += b.network;
  return a;
}

SentBytes SentBy(std::span<const Op> ops, const OpCosts& costs) {
  SentBytes total;
  for (const Op& op : ops) {
    const auto* query = std::get_if<CollectiveQuery>(&op.query);
    if (!query) continue;
    const PortBytes unit = costs.UnitBytes(*query);
    total += SentBytes{unit.nvlink * query->bytes.value, unit.network * query->bytes.value};
  }
  return total;
}

StepBlock BlockOf(std::vector<Op> ops, uint64_t position, bool overlaps_passes,
                  const OpCosts& costs) {
  StepBlock block;
  block.costed = CostedBy(std::move(ops), overlaps_passes, costs);
  block.position = position;
  block.alone = SolveAlone(block);
  block.sent = SentBy(block.costed.ops, costs);
  return block;
}

// Weights or gradients that ZeRO moves in every micro-batch, beside the block's other work: weights
// for the block that comes next, gradients of the one before, so nothing of the block waits for
// them.
void Prefetch(std::vector<Op>& ops, const std::vector<Op>& moves) {
  const auto n = static_cast<int32_t>(moves.size());
  for (Op& op : ops)
    if (op.after >= 0) op.after += n;
  ops.insert(ops.begin(), moves.begin(), moves.end());
}

// Adam on the device and, of the part whose states are in host memory, on the host (ZeRO-Offload,
// arXiv 2101.06840): gradients come down as they are summed, weights go up as the ranks hold them.
// Then the FP8 copies of all weights, where those are held in another format.
std::vector<Op> OptimizerOps(const BlockParameters& held, const ShardPlan& shard, int copies) {
  const Precision& p = shard.precision;
  const double updated = OptimizedParameters(held, shard, copies);
  const double on_host = updated * shard.optimizer_offload;
  const double down = on_host * ElementBytes(p.main_grad);
  const double up = on_host * ElementBytes(p.weight_format());
  std::vector<Op> ops;
  const auto stream = [&ops](OpName name, ElementwiseKind kind, double bytes) {
    if (bytes > 0) ops.push_back({.name = name, .query = ElementwiseQuery{kind, Bytes(bytes)}});
  };
  const auto host = [&ops](OpName name, HostWork work, double bytes) {
    if (bytes > 0) ops.push_back({.name = name, .query = HostQuery{work, Bytes(bytes)}});
  };
  stream(OpName::kAdam, ElementwiseKind::kOptimizer, (updated - on_host) * AdamBytes(p));
  host(OpName::kGradToHost, HostWork::kCopy, down);
  // Copies beside it do not slow it: Adam on the cores takes less than half of the memory's
  // bandwidth.
  host(OpName::kHostAdam, HostWork::kStream, on_host * AdamBytes(p));
  host(OpName::kWeightsToDevice, HostWork::kCopy, up);
  stream(OpName::kWeightCast, ElementwiseKind::kCast,
         WeightCopyBytes(p) > 0
             ? (held.data + held.expert) * (ElementBytes(p.weight_format()) + WeightCopyBytes(p))
             : 0);
  return ops;
}

// The norm reads this rank's reduced gradients; then one number is summed over all ranks.
std::vector<Op> GradNormOps(double updated, const Precision& precision) {
  std::vector<Op> ops;
  const Bytes read(updated * ElementBytes(precision.main_grad));
  ops.push_back(
      {.name = OpName::kGradNorm, .query = ElementwiseQuery{ElementwiseKind::kReduce, read}});
  ops.push_back(CollectiveOp(OpName::kGradNorm, CollectiveKind::kAllReduce, GroupKind::kWorld, 4));
  ops.back().after = 0;
  return ops;
}

}  // namespace

LayerBlocks BlocksOfLayer(const LayerSetup& setup) {
  const BlockKind kind = setup.kind;
  const OpCosts& costs = *setup.costs;
  const ShardPlan& shard = setup.shard;
  const int zero = shard.zero;
  LayerBlocks layer;
  layer.parameters = ParametersOf(kind, *setup.model, shard, setup.ends_apart);
  const auto moves = [&](CollectiveKind collective, OpName data, OpName expert, Dtype format) {
    const double element = ElementBytes(format);
    std::vector<Op> ops;
    if (const double n = layer.parameters.data; n > 0)
      ops.push_back(CollectiveOp(data, collective, GroupKind::kData, n * element));
    if (const double n = layer.parameters.expert; n > 0)
      ops.push_back(CollectiveOp(expert, collective, GroupKind::kExpertData, n * element));
    return ops;
  };
  const std::vector<Op> reduce =
      moves(zero == 0 ? CollectiveKind::kAllReduce : CollectiveKind::kReduceScatter,
            OpName::kGradReduce, OpName::kExpertGradReduce, shard.precision.grad_reduce);
  const std::vector<Op> gather = moves(CollectiveKind::kAllGather, OpName::kParamGather,
                                       OpName::kExpertParamGather, shard.precision.weight_format());
  const auto ops_of = [&](const Work& work) {
    BlockOps ops = TrainingOpsOf(kind, *setup.model, shard, costs.spread().uniform, work);
    if (zero >= 2) Prefetch(ops.pass[static_cast<size_t>(Pass::kWeight)], reduce);
    if (zero >= 3) {
      Prefetch(ops.pass[static_cast<size_t>(Pass::kForward)], gather);
      Prefetch(ops.pass[static_cast<size_t>(Pass::kBackward)], gather);
    }
    return ops;
  };
  layer.ops = ops_of(setup.work);
  const auto id = static_cast<uint64_t>(kind);
  for (uint64_t g = 0; g < kDataGroups; ++g) {
    const auto on = [&](const std::vector<Op>& ops, uint64_t block) {
      std::vector<Op> own;
      std::copy_if(ops.begin(), ops.end(), std::back_inserter(own),
                   [&](const Op& op) { return op.stream() == StreamOf(kDataGroupKinds[g]); });
      return BlockOf(std::move(own), PositionOf(block) + g, false, costs);
    };
    layer.grad_reduce[g] = on(reduce, 2 * id);
    layer.param_gather[g] = on(gather, 2 * id + 1);
    if (zero <= 1) layer.data_parallel += layer.grad_reduce[g].sent;
    if (zero == 1 || zero == 2) layer.data_parallel += layer.param_gather[g].sent;
  }
  for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
    layer.passes[static_cast<size_t>(pass)] =
        BlockOf(layer.ops[pass], PositionOf(kind, pass), setup.overlaps_passes, costs);
  if (!setup.loads) return layer;
  for (const ExpertLoad& load : setup.loads->at) {
    Work work = setup.work;
    work.load = load;
    BlockOps ops = ops_of(work);
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      const auto p = static_cast<size_t>(pass);
      const StepBlock at_load{.costed = CostedBy(std::move(ops.pass[p]), false, costs)};
      const Seconds loaded = SolveAlone(at_load).total;
      layer.excess[p].push_back(loaded / layer.passes[p].alone.total - 1);
    }
  }
  return layer;
}

StepBlock SendBlock(const TrainingRun& run, const Work& work, const OpCosts& costs) {
  const double tokens = RankTokensOf(work, ShardOf(run.plan)).outside_tp;
  const double bytes = run.plan.parallel.pp > 1 ? tokens * run.model.hidden * 2 : 0;
  return BlockOf(
      {CollectiveOp(OpName::kPipelineSend, CollectiveKind::kSend, GroupKind::kPipelineNext, bytes)},
      kSendPosition, false, costs);
}

std::vector<StepBlocks::OfStage> UpdateBlocks(const Plan& plan, const Layout& layout,
                                              const StepBlocks& blocks, int copies,
                                              const OpCosts& costs) {
  const ShardPlan shard = ShardOf(plan);
  std::vector<StepBlocks::OfStage> of_stages;
  std::vector<BlockParameters> held_by;
  for (int stage = 0; stage < layout.map.stages(); ++stage) {
    BlockParameters held;
    for (const int v : layout.map.Held(stage)) {
      for (const BlockRun& run : layout.runs[v]) {
        held.data += run.count * blocks.layer(run.kind).parameters.data;
        held.expert += run.count * blocks.layer(run.kind).parameters.expert;
      }
    }
    const auto alike =
        std::find_if(held_by.begin(), held_by.end(), [&](const BlockParameters& other) {
          return other.data == held.data && other.expert == held.expert;
        });
    const size_t before = static_cast<size_t>(alike - held_by.begin());
    held_by.push_back(held);
    if (before + 1 < held_by.size()) {
      of_stages.push_back(of_stages[before]);
      continue;
    }
    const double updated = OptimizedParameters(held, shard, copies);
    auto norm = std::make_shared<StepBlock>(
        BlockOf(GradNormOps(updated, plan.precision), kGradNormPosition, false, costs));
    auto optimizer = std::make_shared<StepBlock>(
        BlockOf(OptimizerOps(held, shard, copies), kOptimizerPosition, false, costs));
    if (plan.overlap.offload && plan.optimizer.offload > 0) {
      optimizer->order = OpOrder::kAtOnce;
      optimizer->alone = SolveAlone(*optimizer);
    }
    of_stages.push_back({std::move(norm), std::move(optimizer)});
  }
  return of_stages;
}

void PairVirtualStages(const Layout& layout, StepBlocks& blocks) {
  MOECAST_CHECK(layout.map.held() == 2);
  for (int v = 0; v < layout.map.virtual_stages(); ++v) {
    std::vector<int32_t> parts;
    for (const PlacedBlock& block : layout.blocks[v])
      parts.push_back(BlockIds::Of(block.kind, Pass::kForward));
    const size_t forwards = parts.size();
    const std::vector<PlacedBlock>& other = layout.blocks[layout.map.Beside(v)];
    for (const Pass pass : {Pass::kBackward, Pass::kWeight})
      for (auto block = other.rbegin(); block != other.rend(); ++block)
        parts.push_back(BlockIds::Of(block->kind, pass));
    const auto known = std::find_if(blocks.pairs.begin(), blocks.pairs.end(),
                                    [&](const StepBlock& pair) { return pair.parts == parts; });
    blocks.pair_of.push_back(static_cast<int32_t>(known - blocks.pairs.begin()));
    if (known != blocks.pairs.end()) continue;
    std::vector<const CostedOps*> costed;
    for (const int32_t part : parts) costed.push_back(&blocks[part].costed);
    const std::span<const CostedOps* const> all(costed);
    StepBlock pair;
    pair.costed = Overlapped(all.first(forwards), all.subspan(forwards, other.size()),
                             all.subspan(forwards + other.size()));
    pair.parts = std::move(parts);
    pair.alone = SolveAlone(pair);
    blocks.pairs.push_back(std::move(pair));
  }
}

}  // namespace moecast
