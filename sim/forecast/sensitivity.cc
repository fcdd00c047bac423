#include "sim/forecast/sensitivity.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

constexpr double kMore = 1.1;

// A figure of the run that is a number of its own.
struct Figure {
  const char* quantity;
  const char* source;  // null: of the calibration's whole_step
  void (*move)(TrainingRun&);
};

constexpr const char* kCluster = "the cluster's file";
constexpr const char* kScenario = "the scenario's file";
constexpr Figure kFigures[] = {
    {"utilisation at which power caps a kernel, -10%", nullptr,
     [](TrainingRun& r) { r.whole_step.sustained /= kMore; }},
    {"gap around each operator, +10%", nullptr,
     [](TrainingRun& r) { r.whole_step.gap = r.whole_step.gap * kMore; }},
    {"launch of a collective, +10%", kCluster,
     [](TrainingRun& r) { r.cluster.collective_launch = r.cluster.collective_launch * kMore; }},
    {"latency of a step over NVLink, +10%", kCluster,
     [](TrainingRun& r) { r.cluster.nvlink_step = r.cluster.nvlink_step * kMore; }},
    {"latency of a step over the network, +10%", kCluster,
     [](TrainingRun& r) { r.cluster.network_step = r.cluster.network_step * kMore; }},
    {"SMs taken by a collective, +10%", kScenario,
     [](TrainingRun& r) {
       int& sms = r.plan.overlap.communication_sms;
       sms = static_cast<int>(std::lround(sms * kMore));
     }},
    {"unequal loads of the expert-parallel devices, +10%", kScenario,
     [](TrainingRun& r) { r.plan.routing.device_cv *= kMore; }},
};

Seconds Median(const Step& step) {
  return StepTime(step);
}

}  // namespace

std::vector<Sensitivity> Sensitivities(const PreparedRun& base, StepCache& cache) {
  const double now = base.GpuSeconds(Median);
  std::vector<Sensitivity> rows;
  const auto add = [&](std::string quantity, std::string source, double moved) {
    const double change = 100 * (moved / now - 1);
    if (change != 0) rows.push_back({std::move(quantity), std::move(source), change});
  };
  const std::vector<std::string>& sources = *base.step(0).sources;
  for (size_t s = 0; s < sources.size(); ++s) {
    const auto slower = [s](const Cost& cost, uint64_t) {
      return cost.source == s ? cost.time * kMore : cost.time;
    };
    const size_t colon = sources[s].find(": ");
    add("times of " + sources[s].substr(0, colon) + ", +10%",
        colon == std::string::npos ? "" : sources[s].substr(colon + 2),
        base.GpuSeconds([&](const Step& step) { return StepTime(step, OpTimes(slower)); }));
  }
  for (const Figure& figure : kFigures) {
    Programme moved;
    for (size_t i = 0; i < base.phases(); ++i) {
      moved.phases.push_back(base.phase(i).run());
      figure.move(moved.phases.back());
    }
    const std::string source =
        figure.source ? figure.source : base.phase(0).run().calibration->whole_step_source();
    add(figure.quantity, source, PreparedRun(moved, cache, base.shared()).GpuSeconds(Median));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Sensitivity& a, const Sensitivity& b) {
    return std::fabs(a.change_percent) > std::fabs(b.change_percent);
  });
  return rows;
}

}  // namespace moecast
