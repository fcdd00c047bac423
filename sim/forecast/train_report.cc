#include "sim/forecast/train_report.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

constexpr double kTrillion = 1e12, kHour = 3600;

Interval Scaled(const Interval& i, double by) {
  return {i.p10 * by, i.p50 * by, i.p90 * by};
}

std::vector<BreakdownRow> Breakdown(const std::vector<LaneTime>& lanes, Seconds step) {
  const double n = static_cast<double>(lanes.size());
  LaneTime mean;
  for (const LaneTime& lane : lanes) {
    mean.blocks += lane.blocks * (1 / n);
    mean.grad_reduce += lane.grad_reduce / n;
    mean.param_gather += lane.param_gather / n;
    mean.grad_norm += lane.grad_norm / n;
    mean.optimizer += lane.optimizer / n;
    mean.bubble += lane.bubble / n;
  }
  std::vector<BreakdownRow> rows;
  const auto add = [&](std::string name, Seconds t) {
    if (t.value > 0) rows.push_back({std::move(name), t, t / step});
  };
  for (const OpClass c : {OpClass::kGemm, OpClass::kGroupedGemm, OpClass::kAttention, OpClass::kElementwise})
    add(std::string(NameOf(c)), mean.blocks.busy[static_cast<size_t>(c)]);
  add("recompute", mean.blocks.recomputed);
  for (int g = 0; g < kGroupKinds; ++g)
    add("exposed " + std::string(NameOf(static_cast<GroupKind>(g))) + " communication",
        mean.blocks.exposed[static_cast<size_t>(g)]);
  add("exposed grad-reduce", mean.grad_reduce);
  add("exposed param-gather", mean.param_gather);
  add("grad-norm", mean.grad_norm);
  add("optimizer", mean.optimizer);
  add("bubble", mean.bubble);
  return rows;
}

bool IsExposedCommunication(const BreakdownRow& row) {
  return row.name.starts_with("exposed");
}

std::vector<BusyLink> BusiestLinks(const PreparedStep& step, const Cluster& cluster, Seconds time) {
  std::vector<BusyLink> links;
  const std::vector<StageTraffic> traffic = step.TrafficByStage();
  for (size_t s = 0; s < traffic.size(); ++s) {
    const int gpu = step.RankOfStage(static_cast<int>(s));
    for (const auto& [port, bytes] :
         {std::pair{Port::kNvlinkOut, traffic[s].nvlink}, std::pair{Port::kNicOut, traffic[s].network}}) {
      const LinkId link = LinkOf(gpu, port);
      if (bytes.value > 0)
        links.push_back({LinkName(cluster, link), bytes, bytes / CapacityOf(cluster, link) / time});
    }
  }
  std::stable_sort(links.begin(), links.end(),
                   [](const BusyLink& a, const BusyLink& b) { return a.utilisation > b.utilisation; });
  constexpr size_t kShown = 8;
  links.resize(std::min(links.size(), kShown));
  return links;
}

// The step with balanced expert loads, everything dropped that is dropped.
Seconds BalancedStepTime(const TrainingRun& run, StepCache& cache) {
  TrainingRun balanced = run;
  balanced.plan.routing.device_cv = 0;
  const PreparedStep step(balanced, balanced.plan.phases.front(), cache);
  return step.StepTime();
}

}  // namespace

TrainReport Summarize(const PreparedRun& prepared, const Forecast& forecast, StepCache& cache) {
  TrainReport r;
  for (size_t i = 1; i < prepared.phases(); ++i)
    if (forecast.phases[i].gpu_hours.p50 > forecast.phases[r.phase].gpu_hours.p50) r.phase = i;
  const TrainingRun& run = prepared.phase(r.phase).run();
  const PreparedStep& step = prepared.step(r.phase);
  const TrainingPhase& phase = prepared.phase(r.phase).phase();
  r.name = run.name;
  r.model = run.model.name;
  r.cluster = run.cluster.name;
  r.schedule = run.plan.schedule;
  r.gpus = run.plan.parallel.gpus();
  r.micro_batches = step.shape().micro_batches;
  r.stage_layers = step.LayersByStage();

  r.step_time = step.StepTime();
  r.step_time_interval = forecast.step_time[r.phase];
  r.tokens_per_step = static_cast<double>(phase.global_batch) * static_cast<double>(phase.sequence_length);
  const double gpus = static_cast<double>(r.gpus);
  r.tokens_per_gpu_per_s = r.tokens_per_step / gpus / r.step_time.value;
  r.model_flops_per_step = r.tokens_per_step * TrainingFlopsPerToken(run.model, phase.sequence_length);
  r.model_tflops_per_gpu = r.model_flops_per_step / gpus / r.step_time.value / 1e12;
  r.mfu = r.model_tflops_per_gpu * 1e12 / run.cluster.device.bf16_peak.value;

  r.breakdown = Breakdown(step.LaneTimes(), r.step_time);
  for (const BreakdownRow& row : r.breakdown) {
    if (row.name == "bubble") r.bubble_fraction = row.fraction;
    if (IsExposedCommunication(row)) r.exposed_communication_fraction += row.fraction;
  }
  if (run.plan.routing.device_cv > 0) r.imbalance = r.step_time - BalancedStepTime(run, cache);

  r.device_memory = run.cluster.device.memory;
  const std::vector<StageMemory> memory = step.MemoryByStage();
  for (size_t s = 0; s < memory.size(); ++s) {
    r.memory.push_back({step.RankOfStage(static_cast<int>(s)), static_cast<int>(s), memory[s]});
    if (memory[s].total() > memory[r.fullest].total()) r.fullest = s;
  }

  const std::vector<StageTraffic> traffic = step.TrafficByStage();
  for (const StageTraffic& t : traffic) {
    r.nvlink_per_gpu += t.nvlink / static_cast<double>(traffic.size());
    r.network_per_gpu += t.network / static_cast<double>(traffic.size());
  }
  r.busiest_links = BusiestLinks(step, run.cluster, r.step_time);
  r.critical_path = CriticalPath(step);
  r.marginal = MarginalValues(step);
  r.extrapolated_fraction = step.ExtrapolatedFraction();

  r.gpu_hours_per_trillion_tokens = Scaled(forecast.run_gpu_seconds_per_token, kTrillion / kHour);
  for (size_t i = 0; i < prepared.phases(); ++i) {
    const PreparedPhase& p = prepared.phase(i);
    // Days and price at the median GPU-hours on the scenario's own GPUs.
    const Interval& hours = forecast.phases[i].gpu_hours;
    PhaseReport out{.name = p.phase().name,
                    .gpus = p.run().plan.parallel.gpus(),
                    .steps = p.steps(),
                    .tokens = Count(p.tokens()),
                    .step_time = p.Time().step,
                    .expense = prepared.ExpenseOf(i, Seconds(hours.p50 * kHour / p.gpus())),
                    .interval = forecast.phases[i],
                    .outages = prepared.outages(i)};
    for (const StageMemory& m : p.step().MemoryByStage())
      out.peak_memory = std::max(out.peak_memory, m.total());
    out.fits = out.peak_memory <= r.device_memory;
    r.fits = r.fits && out.fits;
    r.has_outages = r.has_outages || out.outages;
    r.total += out.expense;
    r.phases.push_back(std::move(out));
  }
  r.total_interval = forecast.run;
  r.uncertainty = forecast.uncertainty;
  return r;
}

}  // namespace moecast
