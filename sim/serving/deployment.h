// How a model is served: how many GPUs a replica has and what each of them does, the format of
// weights and cache, and the engine's limits and policy, by vLLM's names. Plain data; the Fields
// tables document every member.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"
#include "costmodel/model.h"
#include "costmodel/plan.h"
#include "costmodel/routing_load.h"
#include "costmodel/shard.h"
#include "sim/serving/batching.h"
#include "sim/serving/replica_changes.h"
#include "topology/cluster.h"

namespace moecast {

// Of one replica. dp ranks each attend to sequences of their own, with tp GPUs, and all go through
// the layers in step. Experts are spread over ep GPUs: dp, where tp cuts each of them, or all.
struct ServingParallel {
  int tp = 1;
  int dp = 1;
  int ep = 1;
  bool operator==(const ServingParallel&) const = default;
  int gpus() const { return tp * dp; }
  bool whole_experts() const { return tp > 1 && ep == gpus(); }
};
const Fields<ServingParallel>& FieldsOf(const ServingParallel*);

// Where runs of prompts go that the cache has no blocks for: host memory, then disks.
struct CacheTier {
  Bytes capacity;  // of each GPU
  std::optional<BytesPerSecond> bandwidth;
  bool operator==(const CacheTier&) const = default;
};
const Fields<CacheTier>& FieldsOf(const CacheTier*);

// What becomes of a decoding sequence that gives way: all of it is computed again, or its blocks
// are copied to host memory and back.
enum class PreemptionMode : uint8_t { kRecompute, kSwap };
template <>
struct EnumNames<PreemptionMode> {
  static constexpr EnumName<PreemptionMode> kNames[] = {{PreemptionMode::kRecompute, "recompute"},
                                                        {PreemptionMode::kSwap, "swap"}};
};

struct EngineSpec {
  std::string preset;  // what the other fields are of, where they are not given themselves
  std::string policy = "mixed";
  int64_t max_num_seqs = 256;             // of each dp rank
  int64_t max_num_batched_tokens = 8192;  // of each dp rank
  int64_t block_size = 16;
  double gpu_memory_utilization = 0.9;
  std::optional<Bytes> activations;
  std::optional<int64_t> max_model_len;
  bool enable_prefix_caching = true;
  std::vector<CacheTier> cache_tiers;
  PreemptionMode preemption_mode = PreemptionMode::kRecompute;
  std::optional<Bytes> swap_space;  // host memory of each GPU
  bool custom_all_reduce = true;
  std::string all_to_all = "auto";
  int64_t chunked_prefix_cache_threshold = 0;
  // Drafted by the model's own MTP modules, each verified with the next token. A draft is kept with
  // this probability, where all before it are.
  int num_speculative_tokens = 0;
  double acceptance_rate = 0.85;
  Seconds iteration_overhead;
  Seconds sequence_overhead;
  // Of an iteration of so many sequences.
  Seconds OverheadOf(int64_t sequences) const {
    return iteration_overhead + sequence_overhead * static_cast<double>(sequences);
  }
  // Tokens that a decoding sequence makes in an iteration, in the mean.
  double TokensPerStep() const;
  bool operator==(const EngineSpec&) const = default;
};
const Fields<EngineSpec>& FieldsOf(const EngineSpec*);

// Replicas that only prefill (disaggregation).
struct PrefillPool {
  ServingParallel parallel;
  int replicas = 1;
  std::optional<Autoscaling> autoscaling;
  EngineSpec engine;
  bool operator==(const PrefillPool&) const = default;
  int gpus() const { return replicas * parallel.gpus(); }
};
const Fields<PrefillPool>& FieldsOf(const PrefillPool*);

struct Deployment {
  ServingParallel parallel;
  int replicas = 1;
  std::optional<PrefillPool> prefill;  // then the others only decode
  std::string router = "round-robin";
  std::vector<ReplicaFailure> failures;
  std::optional<Autoscaling> autoscaling;
  Dtype weights = Dtype::kBf16;
  double kv_bits = 16;
  EngineSpec engine;
  RoutingLoad routing;
  bool operator==(const Deployment&) const = default;
  int gpus() const { return replicas * parallel.gpus() + (prefill ? prefill->gpus() : 0); }
};
// The prefill pool as a deployment of its own. REQUIRES: there is one.
Deployment PrefillPoolOf(const Deployment& deployment);
const Fields<Deployment>& FieldsOf(const Deployment*);

struct DeploymentFault {
  std::string pointer;  // below the serving section: "/parallel/tp"
  std::string expected;
  std::string hint;
};
// The first thing that makes a deployment impossible to lay out, or nothing. One that does not fit
// in memory is an answer (ServingMemoryOf), not a fault.
std::optional<DeploymentFault> CheckDeployment(const Deployment& deployment, const Model& model,
                                               const Cluster& cluster);

// REQUIRES: CheckDeployment passed.
ShardPlan ShardOf(const Deployment& deployment);
Parallel ParallelOf(const Deployment& deployment);

// Elements that the cache of `tokens` tokens has on each of tp ranks; a module that drafts caches
// as a layer does.
int64_t CachedElements(const Deployment& deployment, const Model& model, int64_t tokens, int tp);

// What fills the memory of one GPU, of those that are not of the prefill pool, and how many tokens
// the cache of each dp rank holds.
struct ServingMemory {
  Bytes usable;  // gpu_memory_utilization of the device's
  Bytes weights;
  Bytes activations;  // of the largest iteration
  Bytes runtime;      // beside PyTorch's, NCCL's buffers among it
  Bytes kv;           // what is left; negative: by how much the rest does not fit
  Bytes kv_per_token;
  int64_t blocks = 0;
  int64_t tokens = 0;
  int64_t host_blocks = 0;  // that sequences which give way are swapped to, of each dp rank
  bool fits() const { return blocks > 0; }
};
ServingMemory ServingMemoryOf(const Deployment& deployment, const Model& model,
                              const Cluster& cluster);
// Of replicas alike: layouts of one replica that the model fits on, those of the fewest GPUs that
// there are; none where the cluster has too few.
std::vector<ServingParallel> LayoutsThatFit(const Deployment& pool, const Model& model,
                                            const Cluster& cluster);
// Whether all pools have memory for a cache.
bool Fits(const Deployment& deployment, const Model& model, const Cluster& cluster);

}  // namespace moecast
