// What kinds of attention share: the core, softmax(q k^T) v of each head, its output projection,
// and keys and values that context-parallel ranks gather.
#pragma once

#include <vector>

#include "costmodel/attention/attention.h"
#include "costmodel/ops/block_builder.h"

namespace moecast {

// Heads of the core, of the whole model.
struct CoreHeads {
  int heads = 0;
  int kv_heads = 0;
  int qk_dim = 0;
  int v_dim = 0;
  AttentionForm form = AttentionForm::kHeads;
};

// 2 (qk + v) a head for each key that a token's query meets.
double CoreFlops(const CoreHeads& heads, const Attention& attention, int64_t sequence,
                 PairsCounted counted);

// The core in a training step. `again` runs before its backward pass: what makes queries, keys and
// values once more where these are not kept.
void AddTrainingCore(BlockBuilder& b, const CoreHeads& heads, std::vector<Op> again);

// The core of one part of a serving iteration, over a cache. Of sequences that differ it takes as
// many, all alike, that have as many new tokens and query-key pairs together.
void AddServingCore(BlockBuilder& b, const CoreHeads& heads, const Work& part);

// New tokens of one of those sequences, and all it has with them.
int64_t MeanQueries(const Work& work);
int64_t MeanKeys(const Work& work);

// From the heads' outputs back to the layer's width.
void AddOutputProjection(BlockBuilder& b, const CoreHeads& heads);

// Context parallelism: every rank gathers the keys and values (MLA: the latents) of the whole
// sequence and keeps them; backward scatters their gradients (arXiv 2407.21783, section 3.3.2).
// `elements` of the whole.
void AddContextGather(BlockBuilder& b, double elements);

}  // namespace moecast
