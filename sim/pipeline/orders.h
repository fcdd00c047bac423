// The order builders; the table in pipeline.cc names them. Each REQUIRES a shape that
// RejectPipeline accepts.
#pragma once

#include "sim/pipeline/pipeline.h"

namespace moecast {

PipelineOrder OneFOneB(const PipelineShape& shape);
PipelineOrder Interleaved(const PipelineShape& shape);
PipelineOrder ZbH1(const PipelineShape& shape);
PipelineOrder ZbH2(const PipelineShape& shape);
PipelineOrder Zb1p(const PipelineShape& shape);
PipelineOrder Zb2p(const PipelineShape& shape);
PipelineOrder ZbV(const PipelineShape& shape);
PipelineOrder VHalf(const PipelineShape& shape);
PipelineOrder VMin(const PipelineShape& shape);
PipelineOrder DualPipe(const PipelineShape& shape);
PipelineOrder DualPipeV(const PipelineShape& shape);

// What builders share.

// Stage s of p runs (p - s - 1) * `depth` forwards, then forwards and backwards in turn: 1F1B at
// depth 1.
PipelineOrder WarmUpThenAlternate(const PipelineShape& shape, int depth);
// Takes W out of the full backward passes: on stage s that of micro-batch i comes after B of
// micro-batch i + s * `depth`.
void SplitWeights(const PipelineShape& shape, int depth, PipelineOrder& order);
// What stage s of a V of p stages runs in DualPipeV. DualPipe is two such Vs, each its own mirror
// image.
std::vector<PipelineTask> FoldedTasks(int stages, int stage, int micro_batches);
// Moves weight gradients forward in an order, so that no stage puts off more than the shape's
// weight_delay.
void LimitWeightDelay(const PipelineShape& shape, PipelineOrder& order);

}  // namespace moecast
