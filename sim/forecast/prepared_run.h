// A programme with the steps of its phases prepared, so that it can be timed many times.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "costmodel/phase.h"
#include "sim/training/programme.h"
#include "sim/training/step_draws.h"
#include "sim/training/step_time.h"

namespace moecast {

// Median or drawn times of a phase.
struct PhaseTime {
  Seconds step;  // at the batch that the phase ends with
  Seconds all;   // all steps
};
using StepTimeOf = std::function<Seconds(const Step&)>;

// What a phase needs of the memory there is.
struct PhaseMemory {
  Bytes peak;           // of the fullest rank
  Bytes host_per_node;  // offloaded states of the fullest node
  bool fits = true;
};

// A phase has one prepared step, or with a batch ramp several: a step's time is close to affine in
// its micro-batches, so batches are prepared by bisection until the one in the middle lies on the
// line between its neighbours, and the steps of the batches in between are shared out over these.
class PreparedPhase {
 public:
  struct Batch {
    TrainingPhase phase;
    std::unique_ptr<const Step> step;
    double steps = 0;  // that this one stands for
  };

  // Batches after the first, and with a `stretch` all, take over what shared links cost. REQUIRES:
  // the plan of `run` has one phase.
  PreparedPhase(TrainingRun run, StepCache& cache, std::optional<double> stretch = std::nullopt);

  const TrainingRun& run() const { return *run_; }
  const TrainingPhase& phase() const { return run_->plan.phases.front(); }
  const Step& step() const { return *prepared_.rbegin()->second.step; }
  double gpus() const { return static_cast<double>(run_->plan.parallel.gpus()); }
  double tokens() const { return tokens_; }
  double steps() const { return steps_; }  // begun; the last may be a part of one
  const std::map<int64_t, Batch>& prepared() const { return prepared_; }  // by global batch
  const PhaseMemory& memory() const { return memory_; }

  PhaseTime Time() const;
  PhaseTime Time(const StepTimeOf& step_time) const;
  // By draw. REQUIRES: as StepTimes.
  std::vector<PhaseTime> Times(std::span<const Noise> draws) const;

 private:
  const Step& Prepare(int64_t global_batch, StepCache& cache);
  void Bisect(std::span<const BatchSteps> levels, size_t low, size_t high, StepCache& cache);

  std::shared_ptr<const TrainingRun> run_;
  std::optional<double> stretch_;
  double tokens_ = 0, steps_ = 0;
  std::map<int64_t, Batch> prepared_;
  PhaseMemory memory_;  // at the batch that the phase ends with, the largest
};

// What training takes.
struct Expense {
  double gpu_hours = 0;  // of compute, without failures and checkpoints: what papers state
  double days = 0;       // the same, by the clock
  double cost_usd = 0;   // of gpu_hours
  double wall_days = 0;  // with failures, checkpoints and restarts; as days where nothing fails
  double wall_cost_usd = 0;
  Expense& operator+=(const Expense& o);
};

// How a phase fares with failures.
struct PhaseOutages {
  Outages outages;
  Seconds checkpoint_interval, best_interval;  // no shorter than a step, no longer than the phase
  double wall_per_work = 1;
};

class PreparedRun {
 public:
  using Phases = std::vector<std::shared_ptr<const PreparedPhase>>;

  // Phases that are among `known` are not prepared again; others take over what shared links cost
  // the known phase of their place.
  PreparedRun(const Programme& programme, StepCache& cache, const Phases& known = {});
  PreparedRun(TrainingRun one_phase, StepCache& cache);

  size_t phases() const { return phases_.size(); }
  const PreparedPhase& phase(size_t i) const { return *phases_[i]; }
  const Step& step(size_t i) const { return phases_[i]->step(); }
  const Phases& shared() const { return phases_; }
  double tokens() const;
  // The phase that takes the most GPU-hours at median costs, the first of equals.
  size_t detailed() const { return detailed_; }
  // GPU-seconds of all phases.
  double GpuSeconds(const StepTimeOf& step_time) const;
  bool has_outages() const { return has_outages_; }
  const std::optional<PhaseOutages>& outages(size_t i) const { return outages_[i]; }
  // Of phase i, whose steps take that long together.
  Expense ExpenseOf(size_t i, Seconds all_steps) const;

 private:
  Phases phases_;
  std::vector<std::optional<PhaseOutages>> outages_;
  double usd_per_gpu_hour_ = 0;
  bool has_outages_ = false;
  size_t detailed_ = 0;
};

}  // namespace moecast
