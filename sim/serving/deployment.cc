#include "sim/serving/deployment.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/fields.h"
#include "base/known.h"
#include "base/quantity_text.h"
#include "costmodel/layer_ops.h"
#include "costmodel/memory.h"
#include "sim/serving/router.h"
#include "sim/serving/serving_memory.h"

namespace moecast {
namespace {

bool IsFp8(Dtype dtype) {
  return dtype == Dtype::kFp8 || dtype == Dtype::kFp8Block;
}

// Names of a deployment for choices of a ShardPlan.
struct AllToAll {
  std::string_view name, algorithm;
};
constexpr AllToAll kAllToAlls[] = {
    {"auto", kEngineAlgorithm}, {"normal", kAutoAlgorithm}, {"low-latency", "low-latency"}};

std::string Number(int64_t n) {
  return std::to_string(n);
}

// A name of a table's rows.
template <class Policy>
std::optional<DeploymentFault> CheckNamed(const char* pointer, const std::string& name,
                                          std::span<const Policy> table) {
  std::vector<std::string_view> names;
  for (const Policy& policy : table) names.push_back(policy.name);
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  return DeploymentFault{pointer, "one of " + Join(names), Nearest(name, names)};
}

}  // namespace

const Fields<ServingParallel>& FieldsOf(const ServingParallel*) {
  static const Fields<ServingParallel> fields(
      "serving parallel",
      {
          Row("tp", &ServingParallel::tp, "GPUs that share each layer's heads and MLP columns",
              {.low = 1, .high = 1024}),
          Row("dp", &ServingParallel::dp,
              "ranks of a replica that attend to sequences of their own (DP attention); with ep "
              "they go through the layers in step",
              {.low = 1, .high = 65536}),
          Row("ep", &ServingParallel::ep,
              "GPUs that the experts are spread over: dp, where tp cuts each expert, or tp * dp, "
              "where each is whole on its GPU (vLLM's --enable-expert-parallel)",
              {.low = 1, .high = 65536}),
          Row("pp", &ServingParallel::pp,
              "stages that the layers are cut into; as many batches of a dp rank are under way, "
              "each in another stage",
              {.low = 1, .high = 255}),
      });
  return fields;
}

const Fields<CacheTier>& FieldsOf(const CacheTier*) {
  static const Fields<CacheTier> fields(
      "cache tier",
      {
          RequiredRow("capacity", &CacheTier::capacity, "what it has for the cache of each GPU",
                      {.low = 1, .high = 1e16}),
          Row("bandwidth", &CacheTier::bandwidth,
              "at which each GPU loads from it; absent: what the GPU's PCIe link carries",
              {.low = 1, .high = 1e15}),
      });
  return fields;
}

const Fields<EngineSpec>& FieldsOf(const EngineSpec*) {
  static const Fields<EngineSpec> fields(
      "engine",
      {
          Row("preset", &EngineSpec::preset,
              "vllm, sglang, trtllm or the path of a file: what the other fields are that are not "
              "given here (docs/model-serving.md)"),
          Row("policy", &EngineSpec::policy,
              "which sequences an iteration takes: mixed, prefill-first, decode-first or reserving "
              "(docs/model-serving.md)"),
          Row("max_num_seqs", &EngineSpec::max_num_seqs, "sequences a dp rank runs at once",
              {.low = 1, .high = 1e6}),
          Row("max_num_batched_tokens", &EngineSpec::max_num_batched_tokens,
              "new tokens of a dp rank's iteration; longer prompts go in chunks",
              {.low = 1, .high = 1e7}),
          Row("block_size", &EngineSpec::block_size, "tokens of a block of the KV cache",
              {.low = 1, .high = 65536}),
          Row("gpu_memory_utilization", &EngineSpec::gpu_memory_utilization,
              "part of the device's memory that the engine takes", {.low = 0.01, .high = 1}),
          Row("activations", &EngineSpec::activations,
              "what the engine keeps free for the largest iteration; absent: as vLLM's profiling "
              "run finds it"),
          Row("max_model_len", &EngineSpec::max_model_len,
              "tokens a sequence may have, input and output; absent: the model's own",
              {.low = 1, .high = 1e8}),
          Row("enable_prefix_caching", &EngineSpec::enable_prefix_caching,
              "blocks of prompts stay in the cache for prompts that begin alike, where the load "
              "says which do"),
          Row("cache_tiers", &EngineSpec::cache_tiers,
              "where blocks of prompts go that the cache has no room for, and are loaded from: "
              "host memory, behind it disks",
              {.max_items = 8}),
          Row("preemption_mode", &EngineSpec::preemption_mode,
              "what becomes of a decoding sequence that gives way: computed again, or copied to "
              "host memory and back (vLLM V0's --preemption-mode)"),
          Row("swap_space", &EngineSpec::swap_space,
              "host memory for each GPU that sequences are swapped to; absent: 4 GiB, vLLM V0's "
              "--swap-space; those it has no room for are computed again",
              {.low = 1, .high = 1e16}),
          Row("custom_all_reduce", &EngineSpec::custom_all_reduce,
              "the engine's own all-reduce kernels inside a node run what they are faster for than "
              "NCCL"),
          Row("all_to_all", &EngineSpec::all_to_all,
              "kernels of DeepEP that take tokens to their experts and back: normal, low-latency, "
              "or auto, for every iteration the faster"),
          Row("chunked_prefix_cache_threshold", &EngineSpec::chunked_prefix_cache_threshold,
              "MLA attends in absorbed form with prompts of an iteration behind fewer cached "
              "tokens in all, else projects these up again (SGLang's variable of the name); 0: "
              "never",
              {.low = 0, .high = 1e9}),
          Row("enable_eplb", &EngineSpec::enable_eplb,
              "experts lie where their loads before come out even (EPLB), in place of in order; "
              "needs routing/tokens or routing/recorded"),
          Row("num_redundant_experts", &EngineSpec::num_redundant_experts,
              "slots for copies of the most used experts, beyond one an expert; needs enable_eplb",
              {.low = 0, .high = 65535}),
          Row("enable_dbo", &EngineSpec::enable_dbo,
              "dual batch overlap: a rank's batch goes through the layers with experts in halves, "
              "of which one computes while tokens of the other travel (SGLang's two-batch "
              "overlap)"),
          Row("dbo_decode_token_threshold", &EngineSpec::dbo_decode_token_threshold,
              "least new tokens of each dp rank, without prompts, that go in halves",
              {.low = 0, .high = 1e7}),
          Row("dbo_prefill_token_threshold", &EngineSpec::dbo_prefill_token_threshold,
              "the same where a rank has prompts", {.low = 0, .high = 1e7}),
          Row("num_speculative_tokens", &EngineSpec::num_speculative_tokens,
              "tokens that the model's MTP module drafts a sequence and iteration, verified in the "
              "next (speculative decoding)",
              {.low = 0, .high = 64}),
          Row("acceptance_rate", &EngineSpec::acceptance_rate,
              "probability that a draft is kept where all before it are; the default is the lower "
              "end of DeepSeek-V3's 85% to 90% (arXiv 2412.19437, section 5.4.3)",
              {.low = 0, .high = 1}),
          Row("iteration_overhead", &EngineSpec::iteration_overhead,
              "time of an iteration in which no kernel of the model runs: scheduling, launch, "
              "sampled tokens back to the host",
              {.low = 0, .high = 10}),
          Row("sequence_overhead", &EngineSpec::sequence_overhead,
              "the same for each sequence of the iteration", {.low = 0, .high = 1}),
          Row("enforce_eager", &EngineSpec::enforce_eager,
              "no CUDA graphs: the host launches every kernel, and the GPU waits where that takes "
              "longer"),
          Row("kernel_launch", &EngineSpec::kernel_launch,
              "the host's time for each kernel with enforce_eager; the default is what decodes of "
              "vLLM and SGLang without graphs come to, 18us to 33us (docs/model-serving.md)",
              {.low = 0, .high = 0.01}),
          Row("sigma", &EngineSpec::sigma,
              "standard deviation of ln(an iteration's time) from engine to engine and release to "
              "release, beside the errors of its kernels; the default is that of the throughput of "
              "vLLM, SGLang and TensorRT-LLM with the same model, GPUs and load "
              "(docs/model-serving.md)",
              {.low = 0, .high = 2}),
      });
  return fields;
}

double EngineSpec::TokensPerStep() const {
  double tokens = 1, kept = 1;
  for (int i = 0; i < num_speculative_tokens; ++i) tokens += kept *= acceptance_rate;
  return tokens;
}

const Fields<PrefillPool>& FieldsOf(const PrefillPool*) {
  static const Fields<PrefillPool> fields(
      "prefill pool",
      {
          Row("parallel", &PrefillPool::parallel, "how the GPUs of a replica share the model"),
          Row("replicas", &PrefillPool::replicas,
              "engines that each prefill a part of the requests", {.low = 1, .high = 65536}),
          Row("autoscaling", &PrefillPool::autoscaling,
              "these replicas come and go with the prompts in flight; absent: all are always "
              "there"),
          Row("engine", &PrefillPool::engine, "limits and policy of the engine"),
      });
  return fields;
}

const Fields<Deployment>& FieldsOf(const Deployment*) {
  static const Fields<Deployment> fields(
      "deployment",
      {
          Row("parallel", &Deployment::parallel, "how the GPUs of a replica share the model"),
          Row("replicas", &Deployment::replicas, "engines that each serve a part of the requests",
              {.low = 1, .high = 65536}),
          Row("prefill", &Deployment::prefill,
              "disaggregation: replicas that compute prompts and first tokens and send the cache "
              "on; the others only decode"),
          Row("router", &Deployment::router,
              "which rank a request goes to: round-robin, least-loaded or prefix-affinity "
              "(docs/model-serving.md)"),
          Row("failures", &Deployment::failures,
              "replicas that fail; their requests are run again by others"),
          Row("autoscaling", &Deployment::autoscaling,
              "replicas come and go with the load, beside a prefill pool with the requests whose "
              "prompts are done; absent: all are always there"),
          Row("weights", &Deployment::weights,
              "format of weights and of the products with them: bf16 or fp8_block"),
          Row("kv_bits", &Deployment::kv_bits,
              "bits of an element of the KV cache; below 8 no kernel was measured, and it is read "
              "at the rate of fp8 kernels",
              {.low = 1, .high = 16}),
          Row("engine", &Deployment::engine, "limits and policy of the engine"),
          Row("routing", &Deployment::routing, "how unequal the ranks' experts are loaded"),
      });
  return fields;
}

Deployment PrefillPoolOf(const Deployment& d) {
  Deployment pool = d;
  pool.parallel = d.prefill->parallel;
  pool.replicas = d.prefill->replicas;
  pool.autoscaling = d.prefill->autoscaling;
  pool.engine = d.prefill->engine;
  pool.prefill.reset();
  return pool;
}

std::optional<DeploymentFault> CheckReplica(const Deployment& d, const Model& m) {
  using Fault = DeploymentFault;
  const ServingParallel& p = d.parallel;
  const auto cuts = [&](int64_t n, const char* what) -> std::optional<Fault> {
    if (n % p.tp == 0) return std::nullopt;
    return Fault{"/parallel/tp", std::string("a divisor of the ") + what + ", " + Number(n), ""};
  };
  if (const auto f = cuts(m.attention.heads, "attention heads")) return f;
  if (m.attention.kv_heads % p.tp != 0 && p.tp % m.attention.kv_heads != 0)
    return Fault{"/parallel/tp",
                 "a divisor or a multiple of the KV heads, " + Number(m.attention.kv_heads), ""};
  if (p.pp > m.layers())
    return Fault{"/parallel/pp", "at most the layers, " + Number(m.layers()), ""};
  if (p.pp > d.engine.max_num_seqs)
    return Fault{"/engine/max_num_seqs",
                 "at least pp, " + Number(p.pp) + ": each batch under way has a part of them", ""};
  if (p.pp > 1 && d.engine.num_speculative_tokens > 0)
    return Fault{"/engine/num_speculative_tokens",
                 "0 with pp: the module that drafts is on the last stage alone", ""};
  if (m.dense_inter > 0)
    if (const auto f = cuts(m.dense_inter, "MLP's intermediate size")) return f;
  if (m.moe.experts > 0 && !p.whole_experts())
    if (const auto f = cuts(m.moe.inter, "experts' intermediate size")) return f;
  if (m.moe.experts == 0 && p.ep > 1)
    return Fault{"/parallel/ep", "1 for a model without experts", ""};
  if (m.moe.experts == 0 && p.dp > 1)
    return Fault{"/parallel/dp",
                 "1 for a model without experts: its ranks have nothing in common, so they are "
                 "replicas",
                 "replicas"};
  if (m.moe.experts > 0 && p.ep != p.dp && p.ep != p.gpus_of_stage())
    return Fault{
        "/parallel/ep",
        Number(p.dp) + ", as dp, where tp cuts each expert" +
            (p.tp > 1 ? ", or " + Number(p.gpus_of_stage()) + ", tp * dp, where each is whole"
                      : "") +
            ": the GPUs of a replica share its experts",
        ""};
  const EngineSpec& engine = d.engine;
  const int slots = m.moe.experts + engine.num_redundant_experts;
  if (engine.enable_eplb && p.ep == 1)
    return Fault{"/engine/enable_eplb", "false where the experts are on one rank", ""};
  if (engine.enable_eplb && !d.routing.tokens && !d.routing.recorded)
    return Fault{"/engine/enable_eplb",
                 "false without routing/tokens or routing/recorded, which say how much each expert "
                 "is used",
                 ""};
  if (engine.num_redundant_experts > 0 && !engine.enable_eplb)
    return Fault{"/engine/num_redundant_experts", "0 without enable_eplb", ""};
  if (m.moe.experts > 0 && slots % p.ep != 0)
    return Fault{slots == m.moe.experts ? "/parallel/ep" : "/engine/num_redundant_experts",
                 slots == m.moe.experts
                     ? "a divisor of the experts, " + Number(m.moe.experts)
                     : "as many that ep, " + Number(p.ep) + ", divides them and the experts, " +
                           Number(m.moe.experts),
                 ""};
  if (slots % std::max(1, m.moe.groups) != 0)
    return Fault{"/engine/num_redundant_experts",
                 "a multiple of the expert groups, " + Number(m.moe.groups), ""};
  if (engine.enable_dbo && (p.ep == 1 || p.dp == 1))
    return Fault{"/engine/enable_dbo", "false where ranks send each other no tokens: dp 1 or ep 1",
                 ""};
  if (const auto f = CheckRouting(d.routing, m.moe, p.ep))
    return Fault{"/routing" + f->pointer, f->expected, ""};
  if (m.moe.groups > 1 && m.moe.groups % p.ep != 0 && p.ep % m.moe.groups != 0)
    return Fault{"/parallel/ep",
                 "a divisor or a multiple of the expert groups, " + Number(m.moe.groups), ""};
  if (d.weights != Dtype::kBf16 && d.weights != Dtype::kFp8Block && d.weights != Dtype::kFp8)
    return Fault{"/weights", "bf16, fp8 or fp8_block", ""};
  if (const auto f = CheckNamed("/engine/policy", d.engine.policy, BatchingPolicies())) return f;
  if (const auto f = CheckNamed<AllToAll>("/engine/all_to_all", d.engine.all_to_all, kAllToAlls))
    return f;
  if (!d.engine.cache_tiers.empty() && !d.engine.enable_prefix_caching)
    return Fault{"/engine/cache_tiers", "none without enable_prefix_caching", ""};
  const bool swaps = d.engine.preemption_mode == PreemptionMode::kSwap;
  if (swaps && FindBatchingPolicy(d.engine.policy)->reserves)
    return Fault{"/engine/preemption_mode",
                 "recompute where the policy is " + d.engine.policy + ": none gives way", ""};
  if (d.engine.swap_space && !swaps)
    return Fault{"/engine/swap_space", "none without preemption_mode swap", ""};
  const Bytes block = CacheOfToken(d, m, ServingStagesOf(m, p.pp).front().all()) *
                      static_cast<double>(d.engine.block_size);
  if (d.engine.swap_space && *d.engine.swap_space < block)
    return Fault{"/engine/swap_space",
                 "at least " + ShowBytes(block) + ", a block of the cache of " +
                     Number(d.engine.block_size) + " tokens",
                 ""};
  const int drafts = d.engine.num_speculative_tokens;
  if (drafts > 0 && m.mtp_layers == 0)
    return Fault{"/engine/num_speculative_tokens", "0 for a model without MTP modules", ""};
  if (d.engine.max_num_batched_tokens < d.engine.max_num_seqs * (1 + drafts))
    return Fault{"/engine/max_num_batched_tokens",
                 "at least " + Number(d.engine.max_num_seqs * (1 + drafts)) +
                     ": each of max_num_seqs sequences may have a token in an iteration" +
                     (drafts > 0 ? ", and its drafts" : ""),
                 ""};
  if (d.engine.max_model_len && *d.engine.max_model_len > m.max_position)
    return Fault{"/engine/max_model_len",
                 "at most the model's " + Number(m.max_position) + " positions", ""};
  return std::nullopt;
}

std::optional<DeploymentFault> CheckDeployment(const Deployment& d, const Model& m,
                                               const Cluster& cluster) {
  if (auto fault = CheckReplica(d, m)) return fault;
  if (d.prefill)
    if (auto fault = CheckReplica(PrefillPoolOf(d), m)) {
      fault->pointer = "/prefill" + fault->pointer;
      return fault;
    }
  if (const auto f = CheckNamed("/router", d.router, RouterPolicies())) return f;
  if (d.prefill && d.parallel.pp > 1)
    return DeploymentFault{"/parallel/pp",
                           "1 beside a prefill pool: caches go from GPU to GPU whole", ""};
  if (d.prefill && d.prefill->parallel.pp > 1)
    return DeploymentFault{"/prefill/parallel/pp", "1: caches go from GPU to GPU whole", ""};
  if (d.prefill &&
      (d.prefill->engine.num_speculative_tokens > 0) != (d.engine.num_speculative_tokens > 0))
    return DeploymentFault{"/prefill/engine/num_speculative_tokens",
                           d.engine.num_speculative_tokens > 0
                               ? "at least 1, as where replicas decode: the module's cache of a "
                                 "prompt is made with it"
                               : "0, as where replicas decode",
                           ""};
  if (d.prefill && d.prefill->engine.preemption_mode == PreemptionMode::kSwap)
    return DeploymentFault{"/prefill/engine/preemption_mode",
                           "recompute: no sequence decodes where prompts are computed", ""};
  if (d.prefill && !d.engine.cache_tiers.empty())
    return DeploymentFault{"/engine/cache_tiers",
                           "none where replicas only decode: prompts begin in the prefill pool, "
                           "/prefill/engine/cache_tiers",
                           ""};
  if (d.autoscaling && d.autoscaling->min_replicas > d.replicas)
    return DeploymentFault{"/autoscaling/min_replicas",
                           "at most " + Number(d.replicas) + ", the replicas that may be there",
                           ""};
  if (d.prefill && d.prefill->autoscaling &&
      d.prefill->autoscaling->min_replicas > d.prefill->replicas)
    return DeploymentFault{
        "/prefill/autoscaling/min_replicas",
        "at most " + Number(d.prefill->replicas) + ", the replicas that may be there", ""};
  for (size_t i = 0; i < d.failures.size(); ++i) {
    const std::string at = "/failures/" + Number(static_cast<int64_t>(i));
    const bool prefills = d.failures[i].pool == PoolKind::kPrefill;
    if (prefills && !d.prefill)
      return DeploymentFault{at + "/pool", "decode: there is no prefill pool", ""};
    const int replicas = prefills ? d.prefill->replicas : d.replicas;
    if (d.failures[i].replica >= replicas)
      return DeploymentFault{at + "/replica", "one of 0 to " + Number(replicas - 1), ""};
  }
  // Decoding comes first: what prefills has to leave it a replica.
  const auto fault = [&](const char* pointer, int64_t taken, int64_t each, const char* by) {
    return DeploymentFault{pointer,
                           "at most " + Number(std::max<int64_t>(0, cluster.gpus - taken) / each) +
                               " of " + Number(each) + " GPUs: the cluster " + cluster.name +
                               " has " + Number(cluster.gpus) +
                               (taken > 0 ? ", of which " + Number(taken) + " " + by : ""),
                           ""};
  };
  const int64_t each = d.parallel.gpus();
  const int64_t prefill_each = d.prefill ? d.prefill->parallel.gpus() : 0;
  const int64_t prefill = d.prefill ? d.prefill->replicas * prefill_each : 0;
  if (each * d.replicas > cluster.gpus) return fault("/replicas", 0, each, "");
  if (d.prefill && prefill + each > cluster.gpus)
    return fault("/prefill/replicas", each, prefill_each, "a replica that decodes takes");
  if (prefill + each * d.replicas > cluster.gpus)
    return fault("/replicas", prefill, each, "prefill");
  return std::nullopt;
}

// Exchanges carry what the products take: DeepEP dispatches fp8 and combines bf16.
ShardPlan ShardOf(const Deployment& d) {
  ShardPlan shard;
  shard.tp = d.parallel.tp;
  shard.ep = d.parallel.ep;
  shard.dp = d.parallel.dp;
  shard.zero = 0;
  shard.whole_experts = d.parallel.whole_experts();
  // Of the tokens that the ranks of tp have all of, each then routes its own part, as DeepSeek-V3
  // is served (TP4 with sequence parallelism, EP32; arXiv 2412.19437, section 3.4). The ranks of
  // one group alone have nothing to send.
  shard.sequence = shard.whole_shared_experts = shard.whole_experts && d.parallel.dp > 1;
  shard.precision.gemm = d.weights;
  shard.precision.dispatch = IsFp8(d.weights) ? d.weights : Dtype::kBf16;
  shard.overlap.tp = false;
  if (d.engine.custom_all_reduce) shard.collectives.all_reduce = kEngineAlgorithm;
  for (const AllToAll& kernels : kAllToAlls)
    if (kernels.name == d.engine.all_to_all)
      shard.collectives.dispatch = shard.collectives.combine = kernels.algorithm;
  shard.redundant_experts = d.engine.num_redundant_experts;
  shard.chunked_prefix_cache_threshold = d.engine.chunked_prefix_cache_threshold;
  shard.topk_group = d.routing.topk_group;
  shard.kv_bits = d.kv_bits;
  return shard;
}

Parallel ParallelOf(const Deployment& d) {
  Parallel parallel;
  parallel.tp = d.parallel.tp;
  parallel.ep = d.parallel.ep;
  parallel.dp = d.parallel.dp;
  parallel.pp = d.parallel.pp;
  if (d.parallel.whole_experts()) parallel.expert_tp = 1;
  return parallel;
}

}  // namespace moecast
