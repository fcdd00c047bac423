// What `moecast train` answers, as one value.
#pragma once

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

struct NamedInterval {
  std::string name;
  Interval interval;
};

struct PhaseReport {
  std::string name;
  double steps = 0;
  Count tokens;
  Seconds step_time;  // median
  Interval gpu_hours;
  double days = 0;
  double cost_usd = 0;
};

struct TrainReport {
  std::string name, model, cluster, schedule, source;
  int64_t gpus = 0;
  int micro_batches = 0;
  std::vector<int> stage_layers;

  // Of the first phase, whose step the details describe.
  Seconds step_time;
  double tokens_per_step = 0;
  double tokens_per_gpu_per_s = 0;
  double model_flops_per_step = 0;
  double model_tflops_per_gpu = 0;
  double mfu = 0;
  double bubble_fraction = 0;
  double exposed_communication_fraction = 0;
  // What the step would save were the tokens that are kept spread evenly over the expert-parallel ranks,
  // timed anew as a whole. The critical path's own share of it is never less: another path may take over.
  Seconds imbalance;
  std::vector<BreakdownRow> breakdown;  // sums to the step
  std::vector<RankMemory> memory;       // a rank of each stage
  Bytes device_memory;
  Bytes host_bytes_per_node, host_memory;  // offloaded states of the fullest node; what a node has
  size_t fullest = 0;                      // index into memory
  bool fits = true;
  Interval memory_peak;                   // over the draws of the unknowns
  double fits_share = 1;                  // of the draws
  Bytes nvlink_per_gpu, network_per_gpu;  // sent in a step, mean over stages
  std::vector<BusyLink> busiest_links;
  std::vector<Cause> critical_path;  // sums to the step
  std::vector<Marginal> marginal;    // of what Summarize can tell from the step; callers may add
  double extrapolated_fraction = 0;

  // Of the whole run.
  Interval gpu_hours_per_trillion_tokens;
  double gpu_hours_total = 0;
  double days = 0;
  double cost_usd = 0;
  std::vector<PhaseReport> phases;
  std::vector<UncertaintyShare> uncertainty;
  std::vector<NamedInterval> intervals;  // of kHeadlines, over all draws
};

TrainReport Summarize(const PreparedRun& run, const Forecast& forecast, StepCache& cache);

}  // namespace moecast
