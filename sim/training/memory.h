// What a rank of each stage holds: states, buffers, and what the order of the step keeps alive.
#pragma once

#include <span>
#include <vector>

#include "costmodel/memory.h"
#include "sim/training/blocks.h"
#include "sim/training/layout.h"
#include "sim/training/run.h"
#include "topology/placement.h"

namespace moecast {

struct StageMemory {
  StateBytes states;
  Bytes activations;                    // at the peak of what the schedule keeps alive
  Bytes transient;                      // of the pass that needs most
  std::vector<BlockKind> transient_of;  // the blocks whose passes that is, at the same time
  Bytes receive_buffers;                // of the pipeline
  Bytes buckets;                        // of gradients that travel in another format
  Bytes runtime;                        // CUDA context and NCCL, outside the framework's allocator
  Bytes buffers() const { return receive_buffers + buckets; }
  Bytes allocated() const { return states.device() + activations + transient + buffers(); }
  Bytes total() const { return allocated() + runtime; }
};

// What a stage holds at its most while a task runs, and after it.
struct AliveBytes {
  Bytes most;
  Bytes after;
};

// What a rank of each stage holds without activations, which stay zero. `copies` of the model are
// trained.
std::vector<StageMemory> MemoryWithoutActivations(const TrainingRun& run, const Work& work,
                                                  const Layout& layout, const StepBlocks& blocks,
                                                  int copies);

// Activations alive along the tasks of the stage's compute lane, in its order: a running sum of
// what each pass of a block keeps and frees. The forward of a pair allocates before its backward
// frees.
std::vector<AliveBytes> ActivationsAlong(const Layout& layout, const StepBlocks& blocks,
                                         const TrainingSchedule& schedule, int stage);
// The most that is alive at a time, by stage.
std::vector<Bytes> PeakActivations(const Layout& layout, const StepBlocks& blocks,
                                   const TrainingSchedule& schedule);

// The optimizer's states of the fullest node, in host memory.
Bytes HostBytesPerNode(const TrainingRun& run, const Placement& placement,
                       std::span<const StageMemory> by_stage);

// Sets the limits of a shape whose schedule keeps to any: bytes become micro-batches of each stage,
// what states, buffers and the runtime leave over what a micro-batch keeps from its forward pass
// on. Throws UserError where the plan's own limit cannot be kept.
void LimitMemory(const TrainingRun& run, const Layout& layout, const StepBlocks& blocks,
                 std::span<const StageMemory> fixed, PipelineShape& shape);

}  // namespace moecast
