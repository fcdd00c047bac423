// What a deployment's GPUs hold: their layers, and in the rest of the memory the cache; and the
// layouts that leave room for one.
#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"
#include "costmodel/model.h"
#include "sim/serving/deployment.h"
#include "topology/cluster.h"

namespace moecast {

// Layers of a stage.
struct ServingStage {
  int dense = 0, moe = 0;
  int all() const { return dense + moe; }
};
// As even as it goes; what is left over goes to the stages before the last, from behind (vLLM,
// vllm/distributed/utils.py, get_pp_indices). REQUIRES: a layer for each stage.
std::vector<ServingStage> ServingStagesOf(const Model& model, int pp);

// Elements that the cache of `tokens` tokens has on each of tp ranks; a module that drafts caches
// as a layer does.
int64_t CachedElements(const Deployment& deployment, const Model& model, int64_t tokens, int tp);

// What a token takes of the cache of a GPU whose stage has so many layers.
Bytes CacheOfToken(const Deployment& deployment, const Model& model, int layers);

// What fills the memory of one GPU, of those that are not of the prefill pool: of the stage whose
// cache holds the fewest tokens, as each dp rank's does.
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
// Whether stages of so many GPUs are worth a look: one, or whole nodes, between which less is sent
// than tp or ep would.
bool MayBeStages(int gpus_of_stage, int pp, const Cluster& cluster);
// Of replicas alike: layouts of one replica that the model fits on, those of the fewest GPUs that
// there are; none where the cluster has too few.
std::vector<ServingParallel> LayoutsThatFit(const Deployment& pool, const Model& model,
                                            const Cluster& cluster);
// Whether all pools have memory for a cache.
bool Fits(const Deployment& deployment, const Model& model, const Cluster& cluster);

}  // namespace moecast
