// Memory a rank holds for the whole step: weights, gradients, optimizer states. What the schedule
// keeps alive on top is the sum of BlockMemory along a lane (sim/training).
#pragma once

#include "base/known.h"
#include "base/units.h"
#include "costmodel/layer_ops.h"
#include "costmodel/shard.h"

namespace moecast {

// Of one rank.
struct StateBytes {
  Bytes weights;          // with their FP8 copies, where the weights are held in another format
  Bytes gradients;        // main gradients
  Bytes master, moments;  // of the optimizer, on the device
  Bytes host;  // of the optimizer, in host memory; gradients and weights on their way included
  Bytes optimizer() const { return master + moments; }
  Bytes device() const { return weights + gradients + optimizer(); }
  StateBytes& operator+=(const StateBytes& o);
};

// ZeRO: optimizer states are cut over the group that reduces a parameter's gradients from stage 1,
// gradients from 2, weights from 3 (arXiv 1910.02054). Where the pipeline holds several copies of
// the model (`model_copies`) that group is the data-parallel ranks of all copies.
StateBytes StatesOf(const BlockParameters& parameters, const ShardPlan& shard,
                    int model_copies = 1);

// Parameters of a block that this rank's optimizer updates.
double OptimizedParameters(const BlockParameters& parameters, const ShardPlan& shard,
                           int model_copies = 1);

// Bytes AdamW reads and writes for one parameter: gradient, master weight and moments read, the
// latter written, and the weight as the ranks hold it written where that is not the master itself.
double AdamBytes(const Precision& precision);

// Bytes that the FP8 copies of weights held in another format take for one parameter; 0 where there
// are none.
double WeightCopyBytes(const Precision& precision);

inline constexpr Known kNcclBufferBytes{411041792.0, "for 8 ranks: aiconfigurator, h100_sxm.yaml"};
inline constexpr Known kRuntimeBytes{
    551e6 + kNcclBufferBytes.value,
    "CUDA context 551 MB and NCCL buffers for 8 ranks 392 MiB: aiconfigurator, h100_sxm.yaml"};

}  // namespace moecast
