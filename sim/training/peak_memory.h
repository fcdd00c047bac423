// What a rank's memory holds at its peak, part by part: which states, which tensors of which
// blocks, how many of them and until when.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/training/step.h"

namespace moecast {

struct PeakRow {
  std::string part;   // of StageMemory: "weights", "activations", ...
  std::string block;  // the kind of block a tensor belongs to, or ""
  std::string what;   // "expert parameters, bf16", "expert-up input"
  std::string until;  // "F to W", "within a pass"; of what the rank always holds ""
  // Of activations: blocks times micro-batches that hold the tensor, and the micro-batches (of a
  // chunk) that do.
  int copies = 1;
  int micro_batches = 0;
  Bytes bytes;  // of all copies
};

struct PeakMemory {
  int rank = 0, stage = 0;
  Bytes total;       // StageMemory::total(), and the sum of the rows
  int32_t task = 0;  // of the schedule: the first that reaches the peak
  std::string task_name;
  int micro_batch = 0, chunk = 0;
  Time at{};                  // from when on it is reached
  std::vector<PeakRow> rows;  // by part, the largest first
};

PeakMemory PeakMemoryOf(const Step& step, int stage);

}  // namespace moecast
