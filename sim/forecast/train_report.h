// What `moecast train` answers, as one value.
#pragma once

#include <array>
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
  Seconds time;  // mean over the stages
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

struct ExpenseInterval {
  Interval gpu_hours;
  Interval days;
  Interval cost_usd;
  Interval wall_days;
  Interval wall_cost_usd;
};

struct PhaseReport {
  std::string name;
  int64_t gpus = 0;
  double steps = 0;
  Count tokens;
  Seconds step_time;                    // of the scenario's own values, at the last batch
  std::vector<BreakdownRow> breakdown;  // of the scenario's own values; sums to all steps
  Expense expense;                      // the median GPU-hours, on the scenario's own GPUs
  ExpenseInterval interval;             // over all draws
  std::optional<PhaseOutages> outages;
  PhaseMemory memory;
};

struct TrainReport {
  std::string name;
  std::string model;
  std::string cluster;
  std::string schedule;
  std::string source;
  int64_t gpus = 0;
  int micro_batches = 0;
  std::vector<int> stage_layers;

  // Of the phase that takes the most GPU-hours, whose step the details describe.
  size_t phase = 0;
  Seconds step_time;
  double tokens_per_step = 0;
  double bubble_fraction = 0;
  double exposed_communication_fraction = 0;
  // What the step would save were the tokens that are kept spread evenly over the expert-parallel
  // ranks, timed anew as a whole. The critical path's own share of it is never less: another path
  // may take over.
  Seconds imbalance;
  Level level{};
  Seconds contention;                   // of the step, beyond every collective alone on idle links
  std::vector<BreakdownRow> breakdown;  // sums to the step
  std::vector<RankMemory> memory;       // a rank of each stage
  Bytes device_memory;
  Bytes host_bytes_per_node, host_memory;  // offloaded states of the fullest node; what a node has
  size_t fullest = 0;                      // index into memory
  Bytes nvlink_per_gpu, network_per_gpu;   // sent in a step, mean over stages
  std::vector<BusyLink> busiest_links;
  std::vector<Cause> critical_path;  // sums to the step
  std::vector<Marginal> marginal;    // of what Summarize can tell from the step; callers may add
  double extrapolated_fraction = 0;

  // Of the whole run. The step and its rates are of the scenario's own values, the rest is the
  // phases' sum.
  Headlines headlines;
  std::array<Interval, std::size(kHeadlines)> intervals;  // of kHeadlines, over all draws
  const Interval& interval(double Headlines::*figure) const;
  double tokens = 0;
  bool has_outages = false;
  std::vector<PhaseReport> phases;
  Bytes peak_memory;      // of any phase
  bool fits = true;       // every phase
  Interval memory_peak;   // over the draws of the unknowns
  double fits_share = 1;  // of the draws
  std::vector<UncertaintyShare> uncertainty;
};

TrainReport Summarize(const PreparedRun& run, const Forecast& forecast, StepCache& cache);

}  // namespace moecast
