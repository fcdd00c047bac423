// How a model is served: how many GPUs a replica has and what each of them does, the format of
// weights and cache, and the engine's limits and policy, by vLLM's names. Plain data; the Fields
// tables document every member.
#pragma once

#include <algorithm>
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
// the layers in step. Experts are spread over ep GPUs: dp, where tp cuts each of them, or tp * dp.
// All this pp times, for as many stages of the layers one behind the other.
struct ServingParallel {
  int tp = 1;
  int dp = 1;
  int ep = 1;
  int pp = 1;
  bool operator==(const ServingParallel&) const = default;
  int gpus_of_stage() const { return tp * dp; }
  int gpus() const { return gpus_of_stage() * pp; }
  bool whole_experts() const { return tp > 1 && ep == gpus_of_stage(); }
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
  bool enable_eplb = false;
  int num_redundant_experts = 0;
  bool enable_dbo = false;
  int64_t dbo_decode_token_threshold = 32;
  int64_t dbo_prefill_token_threshold = 512;
  // Whether a rank with so many new tokens, prompts' among them or not, may go in halves: it does
  // where all ranks of its replica may.
  bool Halves(int64_t tokens, bool prompts) const {
    return enable_dbo && tokens >= 2 &&
           tokens >= (prompts ? dbo_prefill_token_threshold : dbo_decode_token_threshold);
  }
  // Drafted by the model's own MTP modules, each verified with the next token. A draft is kept with
  // this probability, where all before it are.
  int num_speculative_tokens = 0;
  double acceptance_rate = 0.85;
  Seconds iteration_overhead;
  Seconds sequence_overhead;
  bool enforce_eager = false;
  Seconds kernel_launch{26e-6};
  double sigma = 0.18;
  // Of an iteration of so many sequences, whose so many kernels take `kernels` on the GPU: without
  // CUDA graphs what the host's launches take beyond that, too.
  Seconds OverheadOf(int64_t sequences, Seconds kernels, int launches) const {
    const Seconds launched = enforce_eager ? kernel_launch * launches : Seconds();
    return iteration_overhead + sequence_overhead * static_cast<double>(sequences) +
           std::max(Seconds(), launched - kernels);
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

// The same of a replica that is not of the prefill pool, by itself.
std::optional<DeploymentFault> CheckReplica(const Deployment& deployment, const Model& model);

// REQUIRES: CheckDeployment passed.
ShardPlan ShardOf(const Deployment& deployment);
Parallel ParallelOf(const Deployment& deployment);

}  // namespace moecast
