#include "sim/serving/serving_memory.h"

#include <algorithm>
#include <optional>

#include "base/known.h"
#include "costmodel/layer_ops.h"
#include "costmodel/memory.h"

namespace moecast {
namespace {

// The most that an engine holds beside weights and cache, of a profiling run at its limits: logits
// of all sequences in fp32 with what sorting them and drawing from them takes.
constexpr Known kSamplerBytesPerLogit{
    38.9,
    "vLLM 0.11 on one H100 with its 1,024 sequences: 4.76 GiB of activations for Llama-3.1-8B's "
    "vocabulary of 128,256 (llm-d-benchmark, empirical-vllm-memory-results.md); its rows of a "
    "vocabulary of 151,936 and 201,088 come out within 1.1%"};

// vLLM measures what is taken from when it has looked at the empty GPU, so its share of the memory
// has no CUDA context in it (vllm/v1/worker/gpu_worker.py, memory_profiling).
constexpr Known kNonTorchBytes{
    0.13 * 1073741824,
    "vLLM 0.11 on one H100: 0.13 to 0.14 GiB beside weights, activations and cache of three models "
    "(llm-d-benchmark, empirical-vllm-memory-results.md)"};

constexpr Known kSwapSpace{4 * 1073741824.0,
                           "vLLM V0, vllm/engine/arg_utils.py: --swap-space is 4 GiB a GPU"};

}  // namespace

std::vector<ServingStage> ServingStagesOf(const Model& model, int pp) {
  std::vector<int> sizes(static_cast<size_t>(pp), model.layers() / pp);
  for (int left = model.layers() % pp; left > 0; --left)
    ++sizes[static_cast<size_t>(pp - 1 - left)];
  std::vector<ServingStage> stages(sizes.size());
  size_t stage = 0;
  for (const LayerRun& run : model.runs)
    for (int i = 0; i < run.count; ++i) {
      while (stages[stage].all() == sizes[stage]) ++stage;
      ++(run.kind == LayerKind::kMoe ? stages[stage].moe : stages[stage].dense);
    }
  return stages;
}

int64_t CachedElements(const Deployment& d, const Model& m, int64_t tokens, int tp) {
  const int64_t layers = KvElements(m, tokens, tp);
  return d.engine.num_speculative_tokens > 0 ? layers / m.layers() * (m.layers() + m.mtp_layers)
                                             : layers;
}

Bytes CacheOfToken(const Deployment& d, const Model& m, int layers) {
  return Bytes(static_cast<double>(CachedElements(d, m, 1, d.parallel.tp)) * d.kv_bits / 8 *
               layers / m.layers());
}

ServingMemory ServingMemoryOf(const Deployment& d, const Model& m, const Cluster& cluster) {
  const ShardPlan shard = ShardOf(d);
  const auto held = [&](BlockKind kind) {
    const BlockParameters p = ParametersOf(kind, m, shard, false);
    return p.data + p.expert;
  };
  const EngineSpec& engine = d.engine;
  const Bytes usable = cluster.device.memory * engine.gpu_memory_utilization;
  const Bytes activations =
      engine.activations.value_or(Bytes(kSamplerBytesPerLogit.value * static_cast<double>(m.vocab) *
                                        static_cast<double>(engine.max_num_seqs)));
  const Bytes runtime(kNonTorchBytes.value + (d.parallel.gpus() > 1 ? kNcclBufferBytes.value : 0));
  const int mtp = engine.num_speculative_tokens > 0 ? m.mtp_layers : 0;
  const auto block_tokens = static_cast<double>(engine.block_size);

  const std::vector<ServingStage> stages = ServingStagesOf(m, d.parallel.pp);
  std::optional<ServingMemory> least;
  for (size_t s = 0; s < stages.size(); ++s) {
    const bool first = s == 0, last = s + 1 == stages.size();
    // Embedding and head stay bf16 where the layers are fp8.
    const double ends = (first ? held(BlockKind::kEmbedding) : 0) +
                        (last && !(first && m.tied_embeddings) ? held(BlockKind::kHead) : 0);
    const double layers = (stages[s].dense > 0 ? stages[s].dense * held(BlockKind::kDense) : 0) +
                          (stages[s].moe > 0 ? stages[s].moe * held(BlockKind::kMoe) : 0) +
                          (mtp > 0 ? mtp * held(BlockKind::kMtp) : 0);
    ServingMemory memory{.usable = usable,
                         .weights = Bytes(ends * 2 + layers * ElementBytes(d.weights)),
                         .activations = activations,
                         .runtime = runtime,
                         .kv_per_token = CacheOfToken(d, m, stages[s].all())};
    memory.kv = usable - memory.weights - activations - runtime;
    const Bytes block = memory.kv_per_token * block_tokens;
    memory.blocks = std::max<int64_t>(0, static_cast<int64_t>(memory.kv / block));
    if (engine.preemption_mode == PreemptionMode::kSwap)
      memory.host_blocks =
          static_cast<int64_t>(engine.swap_space.value_or(Bytes(kSwapSpace.value)) / block);
    memory.tokens = memory.blocks * engine.block_size;
    if (!least || memory.blocks < least->blocks ||
        (memory.blocks == least->blocks && memory.kv < least->kv))
      least = memory;
  }
  return *least;
}

bool MayBeStages(int gpus_of_stage, int pp, const Cluster& cluster) {
  return pp == 1 || gpus_of_stage % cluster.gpus_per_node == 0;
}

std::vector<ServingParallel> LayoutsThatFit(const Deployment& pool, const Model& m,
                                            const Cluster& cluster) {
  std::vector<ServingParallel> found;
  Deployment tried = pool;
  tried.replicas = 1;
  for (int gpus = 1; gpus <= cluster.gpus && found.empty(); ++gpus)
    for (int tp = 1; tp <= gpus; ++tp)
      for (int dp = 1; tp * dp <= gpus; ++dp) {
        const int pp = gpus / (tp * dp);
        if (gpus % (tp * dp) != 0 || !MayBeStages(tp * dp, pp, cluster)) continue;
        // Experts that tp cannot cut stay whole.
        tried.parallel = {.tp = tp, .dp = dp, .ep = dp, .pp = pp};
        if (CheckReplica(tried, m)) tried.parallel.ep = tp * dp;
        if (!CheckReplica(tried, m) && ServingMemoryOf(tried, m, cluster).fits())
          found.push_back(tried.parallel);
      }
  return found;
}

bool Fits(const Deployment& d, const Model& m, const Cluster& cluster) {
  return ServingMemoryOf(d, m, cluster).fits() &&
         (!d.prefill || ServingMemoryOf(PrefillPoolOf(d), m, cluster).fits());
}

}  // namespace moecast
