#include "sim/forecast/prepared_run.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sim/training/plan_check.h"

namespace moecast {
namespace {

// Share of a phase's time by which a batch may miss the line between its neighbours.
constexpr double kRampTolerance = 1e-4;

// Of `x` between a and b: 0 at a, 1 at b.
double Position(int64_t x, int64_t a, int64_t b) {
  return static_cast<double>(x - a) / static_cast<double>(b - a);
}

}  // namespace

PreparedPhase::PreparedPhase(TrainingRun run, StepCache& cache, std::optional<double> stretch)
    : run_(std::make_shared<const TrainingRun>(std::move(run))), stretch_(stretch) {
  MOECAST_CHECK(run_->plan.phases.size() == 1);
  tokens_ = TokensOf(phase()).value;
  const std::vector<BatchSteps> levels = StepsByBatch(phase(), BatchesOf(run_->plan, phase()));
  for (const BatchSteps& level : levels) steps_ += std::ceil(level.steps);
  Prepare(phase().global_batch, cache);
  Prepare(levels.front().global_batch, cache);
  if (levels.size() > 1) {
    Prepare(levels.back().global_batch, cache);
    Bisect(levels, 0, levels.size() - 1, cache);
  }
  for (const BatchSteps& level : levels) {
    const auto above = prepared_.lower_bound(level.global_batch);
    if (above->first == level.global_batch) {
      above->second.steps += level.steps;
      continue;
    }
    const auto below = std::prev(above);
    const double position = Position(level.global_batch, below->first, above->first);
    below->second.steps += level.steps * (1 - position);
    above->second.steps += level.steps * position;
  }
  for (const StageMemory& m : step().memory) memory_.peak = std::max(memory_.peak, m.total());
  memory_.host_per_node = HostBytesPerNode(*step().run, step().placement, step().memory);
  memory_.fits = memory_.peak <= run_->cluster.device.memory &&
                 memory_.host_per_node <= run_->cluster.host_memory;
}

const Step& PreparedPhase::Prepare(int64_t global_batch, StepCache& cache) {
  Batch& batch = prepared_[global_batch];
  if (!batch.step) {
    batch.phase = phase();
    batch.phase.global_batch = global_batch;
    batch.step = std::make_unique<const Step>(PrepareStep(run_, batch.phase, cache, stretch_));
    stretch_ = batch.step->stretch;
  }
  return *batch.step;
}

void PreparedPhase::Bisect(std::span<const BatchSteps> levels, size_t low, size_t high,
                           StepCache& cache) {
  if (high - low < 2) return;
  const size_t middle = (low + high) / 2;
  const auto time = [&](size_t level) {
    return StepTime(Prepare(levels[level].global_batch, cache));
  };
  const double position =
      Position(levels[middle].global_batch, levels[low].global_batch, levels[high].global_batch);
  const Seconds line = time(low) * (1 - position) + time(high) * position;
  double share = 0;
  for (size_t i = low; i <= high; ++i) share += levels[i].steps / steps_;
  if (std::abs(time(middle) / line - 1) * share < kRampTolerance) return;
  Bisect(levels, low, middle, cache);
  Bisect(levels, middle, high, cache);
}

PhaseTime PreparedPhase::Time(const StepTimeOf& step_time) const {
  PhaseTime t;
  for (const auto& [global_batch, batch] : prepared_) {
    t.step = step_time(*batch.step);
    t.all += t.step * batch.steps;
  }
  return t;
}

PhaseTime PreparedPhase::Time() const {
  return Time([](const Step& step) { return StepTime(step); });
}

std::vector<PhaseTime> PreparedPhase::Times(std::span<const Noise> draws) const {
  std::vector<PhaseTime> times(draws.size());
  for (const auto& [global_batch, batch] : prepared_) {
    const std::vector<Seconds> of_step = StepTimes(*batch.step, draws);
    for (size_t i = 0; i < draws.size(); ++i) {
      times[i].step = of_step[i];
      times[i].all += of_step[i] * batch.steps;
    }
  }
  return times;
}

Expense& Expense::operator+=(const Expense& o) {
  gpu_hours += o.gpu_hours;
  days += o.days;
  cost_usd += o.cost_usd;
  wall_days += o.wall_days;
  wall_cost_usd += o.wall_cost_usd;
  return *this;
}

PreparedRun::PreparedRun(const Programme& programme, StepCache& cache, const Phases& known)
    : usd_per_gpu_hour_(programme.usd_per_gpu_hour),
      has_outages_(programme.reliability.has_value()) {
  double most = 0;
  for (const TrainingRun& run : programme.phases) {
    const auto same = std::find_if(known.begin(), known.end(),
                                   [&](const auto& phase) { return phase->run() == run; });
    std::optional<double> stretch;
    if (phases_.size() < known.size()) stretch = known[phases_.size()]->step().stretch;
    phases_.push_back(same != known.end() ? *same
                                          : std::make_shared<PreparedPhase>(run, cache, stretch));
    outages_.emplace_back();
    const PreparedPhase& phase = *phases_.back();
    const PhaseTime median = phase.Time();
    if (const double gpu_seconds = phase.gpus() * median.all.value; gpu_seconds > most) {
      most = gpu_seconds;
      detailed_ = phases_.size() - 1;
    }
    if (!programme.reliability) continue;
    PhaseOutages p{.outages = OutagesOf(*programme.reliability, run.model, run.plan, run.cluster)};
    // Checkpoints are taken between steps, and one at the end.
    const auto possible = [&](Seconds interval) {
      return std::min(median.all, std::max(median.step, interval));
    };
    p.best_interval = possible(BestInterval(p.outages));
    p.checkpoint_interval =
        possible(programme.reliability->checkpoint_interval.value_or(p.best_interval));
    p.wall_per_work = WallPerWork(p.outages, p.checkpoint_interval);
    outages_.back() = p;
  }
}

PreparedRun::PreparedRun(TrainingRun one_phase, StepCache& cache)
    : PreparedRun(Programme{.name = one_phase.name, .phases = {std::move(one_phase)}}, cache) {}

double PreparedRun::tokens() const {
  double sum = 0;
  for (const auto& phase : phases_) sum += phase->tokens();
  return sum;
}

double PreparedRun::GpuSeconds(const StepTimeOf& step_time) const {
  double sum = 0;
  for (const auto& phase : phases_) sum += phase->gpus() * phase->Time(step_time).all.value;
  return sum;
}

Expense PreparedRun::ExpenseOf(size_t i, Seconds all_steps) const {
  Expense e;
  e.gpu_hours = all_steps * phases_[i]->gpus() / Hours(1);
  e.days = all_steps / Hours(24);
  e.cost_usd = e.gpu_hours * usd_per_gpu_hour_;
  const double wall_per_work = outages_[i] ? outages_[i]->wall_per_work : 1;
  e.wall_days = e.days * wall_per_work;
  e.wall_cost_usd = e.cost_usd * wall_per_work;
  return e;
}

}  // namespace moecast
