#include "sim/forecast/train_report.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

constexpr double kHour = 3600, kDay = 86400;

Interval Scaled(const Interval& i, double by) {
  return {i.p10 * by, i.p50 * by, i.p90 * by};
}

// The rows of blocks are at even loads; what they take longer for the slowest rank is a row of its own.
std::vector<BreakdownRow> Breakdown(const std::vector<LaneTime>& lanes, const std::vector<LaneTime>& even,
                                    Seconds step) {
  const double n = static_cast<double>(lanes.size());
  LaneTime mean;
  Seconds imbalance;
  for (size_t s = 0; s < lanes.size(); ++s) {
    const LaneTime& lane = lanes[s];
    mean.blocks += even[s].blocks * (1 / n);
    imbalance += (lane.blocks.total - even[s].blocks.total) / n;
    mean.grad_reduce += lane.grad_reduce / n;
    mean.param_gather += lane.param_gather / n;
    mean.grad_norm += lane.grad_norm / n;
    mean.optimizer += lane.optimizer / n;
    mean.bubble += lane.bubble / n;
  }
  std::vector<BreakdownRow> rows;
  const auto add = [&](std::string name, Seconds t) {
    if (t.value != 0) rows.push_back({std::move(name), t, t / step});
  };
  for (const Cause& c : CausesOf(mean.blocks)) add(c.cause, c.time);
  add("imbalance", imbalance);
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

}  // namespace

TrainReport Summarize(const PreparedRun& prepared, const Forecast& forecast, StepCache& cache) {
  const TrainingRun& run = prepared.run();
  const PreparedStep& step = prepared.step(0);
  const TrainingPhase& phase = run.plan.phases.front();
  TrainReport r;
  r.name = run.name;
  r.model = run.model.name;
  r.cluster = run.cluster.name;
  r.schedule = run.plan.schedule;
  r.gpus = run.plan.parallel.gpus();
  r.micro_batches = step.shape().micro_batches;
  r.stage_layers = step.LayersByStage();

  std::vector<Seconds> step_times;
  for (size_t i = 0; i < prepared.phases(); ++i) step_times.push_back(prepared.step(i).StepTime());
  const Headlines own = prepared.HeadlinesOf(step_times);
  r.step_time = step.StepTime();
  r.tokens_per_step = static_cast<double>(phase.global_batch) * static_cast<double>(phase.sequence_length);
  const double gpus = static_cast<double>(r.gpus);
  r.tokens_per_gpu_per_s = own.tokens_per_gpu_per_s;
  r.model_flops_per_step = r.tokens_per_step * TrainingFlopsPerToken(run.model, phase.sequence_length);
  r.model_tflops_per_gpu = own.model_tflops_per_gpu;
  r.mfu = own.mfu;

  const PreparedRun even = WithEvenLoads(prepared, cache);
  r.breakdown = Breakdown(step.LaneTimes(), even.step(0).LaneTimes(), r.step_time);
  for (const BreakdownRow& row : r.breakdown) {
    if (row.name == "bubble") r.bubble_fraction = row.fraction;
    if (IsExposedCommunication(row)) r.exposed_communication_fraction += row.fraction;
  }
  r.imbalance = r.step_time - even.step(0).StepTime();
  r.critical_path = CriticalPath(step, even.step(0));

  r.device_memory = run.cluster.device.memory;
  const std::vector<StageMemory> memory = step.MemoryByStage();
  for (size_t s = 0; s < memory.size(); ++s) {
    r.memory.push_back({step.RankOfStage(static_cast<int>(s)), static_cast<int>(s), memory[s]});
    if (memory[s].total() > memory[r.fullest].total()) r.fullest = s;
  }
  r.host_bytes_per_node = step.HostBytesPerNode();
  r.host_memory = run.cluster.host_memory;
  r.fits = memory[r.fullest].total() <= r.device_memory && r.host_bytes_per_node <= r.host_memory;
  std::vector<double> peaks;
  double fitting = 0;
  for (const Draw& d : forecast.draws) {
    peaks.push_back(d.memory_peak_bytes);
    fitting += d.fits;
  }
  r.fits_share = fitting / static_cast<double>(peaks.size());
  r.memory_peak = IntervalOf(std::move(peaks));

  const std::vector<StageTraffic> traffic = step.TrafficByStage();
  for (const StageTraffic& t : traffic) {
    r.nvlink_per_gpu += t.nvlink / static_cast<double>(traffic.size());
    r.network_per_gpu += t.network / static_cast<double>(traffic.size());
  }
  r.busiest_links = BusiestLinks(step, run.cluster, r.step_time);
  r.marginal = RateMarginals(step);
  r.extrapolated_fraction = step.ExtrapolatedFraction();

  for (const HeadlineName& h : kHeadlines) r.intervals.push_back({h.name, IntervalOf(forecast, h.figure)});
  r.gpu_hours_per_trillion_tokens = IntervalOf(forecast, &Headlines::gpu_hours_per_trillion_tokens);
  for (size_t i = 0; i < prepared.phases(); ++i) {
    const TrainingPhase& p = run.plan.phases[i];
    PhaseReport out{.name = p.name, .tokens = p.tokens, .step_time = prepared.step(i).StepTime()};
    out.steps = std::ceil(p.tokens.value /
                          (static_cast<double>(p.global_batch) * static_cast<double>(p.sequence_length)));
    out.gpu_hours = Scaled(forecast.gpu_seconds_per_token[i], p.tokens.value / kHour);
    out.days = out.gpu_hours.p50 * kHour / gpus / kDay;
    out.cost_usd = out.gpu_hours.p50 * run.usd_per_gpu_hour;
    r.gpu_hours_total += out.gpu_hours.p50;
    r.days += out.days;
    r.cost_usd += out.cost_usd;
    r.phases.push_back(std::move(out));
  }
  r.uncertainty = forecast.uncertainty;
  return r;
}

}  // namespace moecast
