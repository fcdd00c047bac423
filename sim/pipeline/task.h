// What the tasks of a training step are: the owner's side of the engine's Schedule.
#pragma once

#include <cstdint>
#include <vector>

#include "base/enum_names.h"
#include "sim/engine/schedule.h"

namespace moecast {

// What a task does for its micro-batch, or, where a forward and a backward overlap, for two.
enum class Phase : uint8_t {
  kForward,
  kBackward,         // gradients of activations alone
  kWeight,           // gradients of weights alone
  kFullBackward,     // both, one task
  kForwardBackward,  // a forward and the full backward of another micro-batch at the same time
  kGradReduce,       // data-parallel reduction of a layer's gradients
  kParamGather,      // all-gather of updated parameters
  kGradNorm,         // the global barrier of gradient clipping
  kOptimizer,
};
template <>
struct EnumNames<Phase> {
  static constexpr EnumName<Phase> kNames[] = {{Phase::kForward, "forward"},
                                               {Phase::kBackward, "backward"},
                                               {Phase::kWeight, "weight"},
                                               {Phase::kFullBackward, "full-backward"},
                                               {Phase::kForwardBackward, "forward-backward"},
                                               {Phase::kGradReduce, "grad-reduce"},
                                               {Phase::kParamGather, "param-gather"},
                                               {Phase::kGradNorm, "grad-norm"},
                                               {Phase::kOptimizer, "optimizer"}};
};

// Phases of the pipeline, up to kForwardBackward; the others belong to the step.
inline constexpr int kPipelinePhases = 5;
constexpr bool OfPipeline(Phase phase) {
  return phase <= Phase::kForwardBackward;
}
// Of a phase that is no pair.
constexpr bool DoesBackward(Phase phase) {
  return phase == Phase::kBackward || phase == Phase::kFullBackward;
}
constexpr bool DoesWeight(Phase phase) {
  return phase == Phase::kWeight || phase == Phase::kFullBackward;
}

struct Task {
  int32_t micro_batch = 0;
  int16_t chunk = 0;  // model chunk of an interleaved pipeline
  int16_t part = -1;  // layer of the chunk where a task is split by layer, else -1
  Phase phase = Phase::kForward;
  int16_t backward_chunk =
      -1;  // of kForwardBackward: whose backward it is; the rest is its forward's
  int32_t backward_micro_batch = -1;
  friend bool operator==(const Task&, const Task&) = default;
};

// visit(phase, micro_batch, chunk) of a task, of a pair for its forward and then for its backward.
template <class AnyTask, class Visit>
void EachHalf(const AnyTask& task, Visit visit) {
  if (task.phase != Phase::kForwardBackward) {
    visit(task.phase, task.micro_batch, task.chunk);
    return;
  }
  visit(Phase::kForward, task.micro_batch, task.chunk);
  visit(Phase::kFullBackward, task.backward_micro_batch, task.backward_chunk);
}

struct TrainingSchedule : Schedule {
  std::vector<Task> tasks;  // by number

  int32_t Append(int32_t program, const Task& task) {
    program_of.push_back(program);
    tasks.push_back(task);
    return size() - 1;
  }
  friend bool operator==(const TrainingSchedule&, const TrainingSchedule&) = default;
};

}  // namespace moecast
