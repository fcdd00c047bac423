#include "sim/forecast/train_report.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sim/training/breakdown.h"
#include "topology/link_names.h"

namespace moecast {
namespace {

void Add(LaneTime& sum, const LaneTime& lane, double times) {
  sum.blocks += lane.blocks * times;
  sum.contention += lane.contention * times;
  sum.grad_reduce += lane.grad_reduce * times;
  sum.param_gather += lane.param_gather * times;
  sum.grad_norm += lane.grad_norm * times;
  sum.optimizer += lane.optimizer * times;
  sum.bubble += lane.bubble * times;
}

// Over the stages.
LaneTime MeanOf(const std::vector<LaneTime>& lanes) {
  LaneTime mean;
  for (const LaneTime& lane : lanes) Add(mean, lane, 1 / static_cast<double>(lanes.size()));
  return mean;
}

// Of all steps of a phase.
LaneTime AllStepsOf(const PreparedPhase& phase) {
  LaneTime sum;
  for (const auto& [global_batch, batch] : phase.prepared())
    Add(sum, MeanOf(LaneTimes(*batch.step)), batch.steps);
  return sum;
}

// The rows of blocks are at even loads; what they take longer for the slowest rank is a row of its
// own.
std::vector<BreakdownRow> Breakdown(const LaneTime& lane, const LaneTime& even, Seconds total) {
  std::vector<BreakdownRow> rows;
  const auto add = [&](std::string name, Seconds t) {
    if (t.value != 0) rows.push_back({std::move(name), t, t / total});
  };
  for (const Cause& c : CausesOf(even.blocks)) add(c.cause, c.time);
  add("imbalance", lane.blocks.total - even.blocks.total);
  add("contention", lane.contention);
  add("exposed grad-reduce", lane.grad_reduce);
  add("exposed param-gather", lane.param_gather);
  add("grad-norm", lane.grad_norm);
  add("optimizer", lane.optimizer);
  add("bubble", lane.bubble);
  return rows;
}

bool IsExposedCommunication(const BreakdownRow& row) {
  return row.name.starts_with("exposed");
}

std::vector<BusyLink> BusiestLinks(const Step& step, const Cluster& cluster, Seconds time) {
  std::vector<BusyLink> links;
  const std::vector<SentBytes> traffic = TrafficByStage(step);
  for (size_t s = 0; s < traffic.size(); ++s) {
    const int gpu = step.RankOfStage(static_cast<int>(s));
    for (const auto& [port, bytes] : {std::pair{Port::kNvlinkOut, traffic[s].nvlink},
                                      std::pair{Port::kNicOut, traffic[s].network}}) {
      const LinkId link = LinkOf(IsNic(port) ? cluster.NicOwner(gpu) : gpu, port);
      if (bytes.value > 0)
        links.push_back({LinkName(cluster, link), bytes, bytes / CapacityOf(cluster, link) / time});
    }
  }
  std::stable_sort(links.begin(), links.end(), [](const BusyLink& a, const BusyLink& b) {
    return a.utilisation > b.utilisation;
  });
  constexpr size_t kShown = 8;
  links.resize(std::min(links.size(), kShown));
  return links;
}

ExpenseInterval IntervalsOfPhase(const Forecast& forecast, size_t phase) {
  const auto of = [&](double Expense::*figure) {
    return IntervalOf(forecast, [&](const Draw& d) { return d.phases[phase].*figure; });
  };
  return {of(&Expense::gpu_hours), of(&Expense::days), of(&Expense::cost_usd),
          of(&Expense::wall_days), of(&Expense::wall_cost_usd)};
}

// The step that the details are of.
void DescribeStep(const PreparedPhase& detailed, const PreparedPhase& even, TrainReport& r) {
  const TrainingRun& run = detailed.run();
  const Step& step = detailed.step();
  r.name = run.name;
  r.model = run.model.name;
  r.cluster = run.cluster.name;
  r.schedule = run.plan.schedule;
  r.gpus = run.plan.parallel.gpus();
  r.micro_batches = step.shape.micro_batches;
  r.stage_layers = step.layout.LayersByPiece();
  r.step_time = StepTime(step);
  r.tokens_per_step = static_cast<double>(detailed.phase().global_batch) *
                      static_cast<double>(detailed.phase().sequence_length);

  r.breakdown = Breakdown(MeanOf(LaneTimes(step)), MeanOf(LaneTimes(even.step())), r.step_time);
  for (const BreakdownRow& row : r.breakdown) {
    if (row.name == "bubble") r.bubble_fraction = row.fraction;
    if (IsExposedCommunication(row)) r.exposed_communication_fraction += row.fraction;
  }
  r.imbalance = r.step_time - StepTime(even.step());
  r.level = run.level;
  r.contention = Contention(step);
  r.critical_path = CriticalPath(step, even.step());
  r.marginal = RateMarginals(step);

  r.device_memory = run.cluster.device.memory;
  r.host_bytes_per_node = detailed.memory().host_per_node;
  r.host_memory = run.cluster.host_memory;
  const std::vector<StageMemory> memory = step.memory;
  for (size_t s = 0; s < memory.size(); ++s) {
    r.memory.push_back({step.RankOfStage(static_cast<int>(s)), static_cast<int>(s), memory[s]});
    if (memory[s].total() > memory[r.fullest].total()) r.fullest = s;
  }

  const std::vector<SentBytes> traffic = TrafficByStage(step);
  for (const SentBytes& t : traffic) {
    r.nvlink_per_gpu += t.nvlink / static_cast<double>(traffic.size());
    r.network_per_gpu += t.network / static_cast<double>(traffic.size());
  }
  r.busiest_links = BusiestLinks(step, run.cluster, r.step_time);
  r.extrapolated_fraction = ExtrapolatedFraction(step);
}

}  // namespace

const Interval& TrainReport::interval(double Headlines::*figure) const {
  for (size_t i = 0; i < intervals.size(); ++i)
    if (kHeadlines[i].figure == figure) return intervals[i];
  MOECAST_CHECK(false);
}

TrainReport Summarize(const PreparedRun& prepared, const Forecast& forecast, StepCache& cache) {
  TrainReport r;
  r.phase = prepared.detailed();
  r.tokens = prepared.tokens();
  r.has_outages = prepared.has_outages();
  std::vector<Expense> expenses;
  for (size_t i = 0; i < prepared.phases(); ++i) {
    const PreparedPhase& p = prepared.phase(i);
    const PreparedPhase even = WithEvenLoads(p, cache);
    if (i == r.phase) DescribeStep(p, even, r);
    const PhaseTime time = p.Time();
    const ExpenseInterval interval = IntervalsOfPhase(forecast, i);
    expenses.push_back(prepared.ExpenseOf(i, Hours(interval.gpu_hours.p50 / p.gpus())));
    r.phases.push_back({.name = p.phase().name,
                        .gpus = p.run().plan.parallel.gpus(),
                        .steps = p.steps(),
                        .tokens = Count(p.tokens()),
                        .step_time = time.step,
                        .breakdown = Breakdown(AllStepsOf(p), AllStepsOf(even), time.all),
                        .expense = expenses.back(),
                        .interval = interval,
                        .outages = prepared.outages(i),
                        .memory = p.memory()});
    r.peak_memory = std::max(r.peak_memory, p.memory().peak);
    r.fits = r.fits && p.memory().fits;
  }
  r.headlines = HeadlinesOf(prepared, r.phase, r.step_time, expenses);
  for (size_t i = 0; i < r.intervals.size(); ++i)
    r.intervals[i] =
        IntervalOf(forecast, [&](const Draw& d) { return d.headlines.*kHeadlines[i].figure; });
  r.memory_peak = IntervalOf(forecast, &Draw::memory_peak_bytes);
  r.fits_share = static_cast<double>(std::count_if(forecast.draws.begin(), forecast.draws.end(),
                                                   [](const Draw& d) { return d.fits; })) /
                 static_cast<double>(forecast.draws.size());
  r.uncertainty = forecast.uncertainty;
  return r;
}

}  // namespace moecast
