// What `moecast train` answers, as one value.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/interval.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/why.h"
#include "sim/training/step.h"

namespace moecast {

struct BreakdownRow {
  std::string name;
  Seconds time;  // of a step, mean over the stages
  double fraction = 0;
};

struct RankMemory {
  int rank = 0;
  int stage = 0;
  StageMemory memory;
};

struct BusyLink {
  std::string name;
  Bytes bytes;  // a step
  double utilisation = 0;
};

// Medians at the scenario's own values; their intervals are over all draws, each with its own GPUs.
struct PhaseReport {
  std::string name;
  int64_t gpus = 0;
  double steps = 0;
  Count tokens;
  Seconds step_time;  // at the last batch
  Expense expense;
  ExpenseInterval interval;
  std::optional<PhaseOutages> outages;
  Bytes peak_memory;  // of the fullest rank
  bool fits = true;
};

struct TrainReport {
  std::string name, model, cluster, schedule, source;
  int64_t gpus = 0;
  int micro_batches = 0;
  std::vector<int> stage_layers;

  // Of the phase that takes the most GPU-hours, whose step the details describe.
  size_t phase = 0;
  Seconds step_time;
  Interval step_time_interval;
  double tokens_per_step = 0;
  double tokens_per_gpu_per_s = 0;
  double model_flops_per_step = 0;
  double model_tflops_per_gpu = 0;
  double mfu = 0;
  double bubble_fraction = 0;
  double exposed_communication_fraction = 0;
  Seconds imbalance;                    // what unequal expert loads add to the step
  std::vector<BreakdownRow> breakdown;  // sums to the step
  std::vector<RankMemory> memory;       // a rank of each stage
  Bytes device_memory;
  size_t fullest = 0;                     // index into memory
  bool fits = true;                       // every phase
  Bytes nvlink_per_gpu, network_per_gpu;  // sent in a step, mean over stages
  std::vector<BusyLink> busiest_links;
  std::vector<PathCause> critical_path;
  std::vector<Marginal> marginal;
  double extrapolated_fraction = 0;

  // Of the whole run.
  Interval gpu_hours_per_trillion_tokens;
  Expense total;  // the sum of the phases
  ExpenseInterval total_interval;
  bool has_outages = false;
  std::vector<PhaseReport> phases;
  std::vector<UncertaintyShare> uncertainty;
};

TrainReport Summarize(const PreparedRun& run, const Forecast& forecast, StepCache& cache);

}  // namespace moecast
