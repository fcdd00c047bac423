// The figures a run is summed up by: of a step of its detailed phase, and of all its phases
// together.
#pragma once

#include <span>

#include "sim/forecast/prepared_run.h"

namespace moecast {

struct Headlines {
  double step_time_s = 0;
  double tokens_per_gpu_per_s = 0;
  double model_tflops_per_gpu = 0;
  double mfu = 0;

  double gpu_hours_per_trillion_tokens = 0;
  double gpu_hours_total = 0;
  double days = 0;
  double cost_usd = 0;

  // With failures, checkpoints and restarts; availability is the share of the wall time that
  // trains.
  double wall_days = 0;
  double wall_cost_usd = 0;
  double availability = 1;
};

struct HeadlineName {
  const char* name;
  double Headlines::*figure;
  bool of_outages = false;  // says no more than another where nothing fails
};
inline constexpr HeadlineName kHeadlines[] = {
    {"step_time_s", &Headlines::step_time_s},
    {"tokens_per_gpu_per_s", &Headlines::tokens_per_gpu_per_s},
    {"model_tflops_per_gpu", &Headlines::model_tflops_per_gpu},
    {"mfu", &Headlines::mfu},
    {"gpu_hours_per_trillion_tokens", &Headlines::gpu_hours_per_trillion_tokens},
    {"gpu_hours_total", &Headlines::gpu_hours_total},
    {"days", &Headlines::days},
    {"cost_usd", &Headlines::cost_usd},
    {"wall_days", &Headlines::wall_days, true},
    {"wall_cost_usd", &Headlines::wall_cost_usd, true},
    {"availability", &Headlines::availability, true},
};

// `step` is of phase `detailed`, `phases` what each phase takes.
Headlines HeadlinesOf(const PreparedRun& run, size_t detailed, Seconds step,
                      std::span<const Expense> phases);

}  // namespace moecast
