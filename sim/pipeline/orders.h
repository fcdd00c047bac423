// The order builders, one file each; the table in pipeline.cc names them. Each REQUIRES a shape that
// RejectPipeline accepts, and has a peak: the most micro-batches one stage holds alive in that order, from
// the start of F to the end of its last backward task (W where it is split).
#pragma once

#include "sim/pipeline/pipeline.h"

namespace moecast {

PipelineOrder OneFOneB(const PipelineShape& shape);
double OneFOneBPeak(const PipelineShape& shape);

PipelineOrder Interleaved(const PipelineShape& shape);
double InterleavedPeak(const PipelineShape& shape);

PipelineOrder ZbH1(const PipelineShape& shape);
double ZbH1Peak(const PipelineShape& shape);

}  // namespace moecast
