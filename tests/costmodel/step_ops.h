// Blocks of the built-in models under plans of every kind, for tests of ops and of what they keep.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/random.h"
#include "costmodel/layer_ops.h"
#include "costmodel/plan.h"
#include "scenarios/model_loader.h"

namespace moecast {

inline constexpr const char* kModels[] = {
    "deepseek-v2",      "deepseek-v2-lite", "deepseek-v3",   "deepseek-67b",  "deepseek-7b",
    "deepseek-moe-16b", "llama-3-70b",      "llama-3.1-70b", "mixtral-8x22b", "qwen1.5-72b"};
inline constexpr Pass kAllPasses[] = {Pass::kForward, Pass::kBackward, Pass::kWeight};
inline const Work kSequence = MicroBatchOf(1, 4096);

inline BlockKind BlockOf(LayerKind kind) {
  return kind == LayerKind::kMoe ? BlockKind::kMoe : BlockKind::kDense;
}

// Blocks of a model and how many of each.
inline std::map<BlockKind, int> BlocksOf(const Model& m) {
  std::map<BlockKind, int> blocks{{BlockKind::kEmbedding, 1}, {BlockKind::kHead, 1}};
  for (const LayerRun& run : m.runs) blocks[BlockOf(run.kind)] += run.count;
  if (m.mtp_layers > 0) blocks[BlockKind::kMtp] = m.mtp_layers;
  return blocks;
}

inline bool Cuts(const Model& m, int tp) {
  return m.attention.heads % tp == 0 && m.attention.kv_heads % tp == 0 && m.vocab % tp == 0 &&
         m.dense_inter % tp == 0 && m.moe.inter % tp == 0 && 4096 % tp == 0;
}

inline TokenSpread SpreadOnOneNode(const Model& m, const ShardPlan& shard) {
  return m.moe.experts > 0 ? SpreadOf(m.moe, shard.ep, shard.ep) : TokenSpread{};
}

// A plan of every kind, from a few random numbers.
inline Plan AnyPlan(Random& random, const Model& m) {
  Plan plan;
  plan.parallel.tp = 1 << random.Below(4);
  if (!Cuts(m, plan.parallel.tp)) plan.parallel.tp = 1;
  plan.parallel.ep = m.moe.experts > 0 ? 1 << random.Below(4) : 1;
  if (m.moe.experts > 0 && plan.parallel.tp > 1 && random.Below(2) == 0) {
    plan.parallel.expert_tp = 1;
    plan.parallel.ep = plan.parallel.tp;
  }
  plan.parallel.dp = plan.parallel.ep * 2;
  plan.parallel.cp = 1 << random.Below(2);
  plan.parallel.sequence = plan.parallel.whole_experts() || random.Below(2) == 0;
  plan.overlap.shared_experts = random.Below(2) == 0;
  plan.overlap.tp = random.Below(2) == 0;
  constexpr Dtype kDtypes[] = {Dtype::kBf16, Dtype::kFp8, Dtype::kFp8Block};
  plan.precision.gemm = kDtypes[random.Below(3)];
  plan.precision.dispatch = kDtypes[random.Below(3)];
  plan.precision.saved_activations = kDtypes[random.Below(3)];
  return plan;
}

// A micro-batch under a plan whose expert-parallel ranks are on one node.
inline BlockOps StepOps(BlockKind kind, const Model& m, const Plan& plan,
                        const Work& work = kSequence) {
  const ShardPlan shard = ShardOf(plan);
  return TrainingOpsOf(kind, m, shard, SpreadOnOneNode(m, shard), work);
}

template <class Visit>  // model, block, plan
void EachBlockOfAnyPlan(int rounds, Visit visit) {
  Random random(5);
  for (const char* name : kModels) {
    const Model m = LoadModel(name);
    for (int i = 0; i < rounds; ++i) {
      const Plan plan = AnyPlan(random, m);
      for (const auto& [kind, count] : BlocksOf(m)) {
        SCOPED_TRACE(std::string(name) + " " + std::string(NameOf(kind)) + ", tp " +
                     std::to_string(plan.parallel.tp) + " ep " + std::to_string(plan.parallel.ep) +
                     " cp " + std::to_string(plan.parallel.cp));
        visit(m, kind, plan, random);
      }
    }
  }
}

}  // namespace moecast
