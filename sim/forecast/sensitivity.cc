#include "sim/forecast/sensitivity.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

constexpr double kRaised = 1.1;

// Of a figure that is a fraction.
double MoreOf(double fraction) {
  return std::min(1.0, fraction * kRaised);
}

template <auto Member>
void RaiseOfCluster(TrainingRun& r) {
  r.cluster.*Member = r.cluster.*Member * kRaised;
}

// Nothing where no tokens are routed.
template <auto Member>
void RaiseOfTokens(TrainingRun& r) {
  if (r.plan.routing.tokens) (*r.plan.routing.tokens).*Member *= kRaised;
}

constexpr AssumedFigure kFigures[] = {
    {"whole_step", "sustained", "utilisation at which power caps a kernel, -10%",
     [](TrainingRun& r) { r.whole_step.sustained /= kRaised; }},
    {"whole_step", "gap", "gap around each operator, +10%",
     [](TrainingRun& r) { r.whole_step.gap = r.whole_step.gap * kRaised; }},
    {"cluster", "collective_launch", "launch of a collective, protocol for few bytes, +10%",
     RaiseOfCluster<&Cluster::collective_launch>},
    {"cluster", "bulk_launch", "launch of a collective, protocol for many bytes, +10%",
     RaiseOfCluster<&Cluster::bulk_launch>},
    {"cluster", "token_launch", "launch of a normal all-to-all of tokens, +10%",
     RaiseOfCluster<&Cluster::token_launch>},
    {"cluster", "low_latency_launch", "launch of a low-latency all-to-all, +10%",
     RaiseOfCluster<&Cluster::low_latency_launch>},
    {"cluster", "nvlink_step", "latency of a step over NVLink, +10%",
     RaiseOfCluster<&Cluster::nvlink_step>},
    {"cluster", "network_step", "latency of a step over the network, +10%",
     RaiseOfCluster<&Cluster::network_step>},
    {"cluster", "send_piece", "time of a send's pieces beyond their bytes, +10%",
     RaiseOfCluster<&Cluster::send_piece>},
    {"cluster", "token_nvlink_share",
     "share of NVLink that all-to-all kernels of tokens reach, +10%",
     RaiseOfCluster<&Cluster::token_nvlink_share>},
    {"cluster", "token_nic_share",
     "share of the NICs that all-to-all kernels of tokens reach, +10%",
     RaiseOfCluster<&Cluster::token_nic_share>},
    {"overlap", "communication_sms", "SMs taken by a collective, +10%",
     [](TrainingRun& r) {
       int& sms = r.plan.overlap.communication_sms;
       sms = std::min(r.cluster.device.sms - 1, static_cast<int>(std::lround(sms * kRaised)));
     }},
    {"routing", "device_cv", "unequal loads of the expert-parallel devices, +10%",
     [](TrainingRun& r) { r.plan.routing.device_cv *= kRaised; }},
    {"routing", "capacity_factor", "load above which a device drops tokens, +10%",
     [](TrainingRun& r) {
       if (r.plan.routing.capacity_factor) *r.plan.routing.capacity_factor *= kRaised;
     }},
    {"routing", "never_dropped", "sequences whose tokens are never dropped, +10%",
     [](TrainingRun& r) { r.plan.routing.never_dropped = MoreOf(r.plan.routing.never_dropped); }},
    {"tokens", "zipf_exponent", "exponent of the experts' popularity, +10%",
     RaiseOfTokens<&TokenMix::zipf_exponent>},
    {"tokens", "clusters", "clusters that tokens come in, +10%",
     [](TrainingRun& r) {
       if (!r.plan.routing.tokens) return;
       int& clusters = r.plan.routing.tokens->clusters;
       clusters = static_cast<int>(std::ceil(clusters * kRaised));
     }},
    {"tokens", "concentration", "evenness of a cluster's choice of experts, +10%",
     RaiseOfTokens<&TokenMix::concentration>},
    {"tokens", "dwell", "tokens that a sequence stays in a cluster, +10%",
     RaiseOfTokens<&TokenMix::dwell>},
    {"tokens", "layer_correlation", "likeness of the experts' popularity from layer to layer, +10%",
     [](TrainingRun& r) {
       if (!r.plan.routing.tokens) return;
       double& correlation = r.plan.routing.tokens->layer_correlation;
       correlation = MoreOf(correlation);
     }},
};

std::string SourceOf(const AssumedFigure& figure, const TrainingRun& run) {
  if (figure.table == "whole_step") return run.calibration->whole_step_source();
  return figure.table == "cluster" ? "the cluster's file" : "the scenario's file";
}

Seconds Median(const Step& step) {
  return StepTime(step);
}

}  // namespace

std::span<const AssumedFigure> AssumedFigures() {
  return kFigures;
}

std::vector<Sensitivity> Sensitivities(const PreparedRun& base, StepCache& cache) {
  const double now = base.GpuSeconds(Median);
  std::vector<Sensitivity> rows;
  const auto add = [&](std::string quantity, std::string source, double moved) {
    const double change = 100 * (moved / now - 1);
    if (change != 0) rows.push_back({std::move(quantity), std::move(source), change});
  };
  const CostSources& sources = *base.step(0).sources;
  for (const SourceId source : sources.ids()) {
    const auto slower = [source](const Cost& cost, uint64_t) {
      return cost.source == source ? cost.time * kRaised : cost.time;
    };
    add("times of " + sources[source].name + ", +10%", sources[source].text,
        base.GpuSeconds([&](const Step& step) { return StepTime(step, OpTimes(slower)); }));
  }
  for (const AssumedFigure& figure : kFigures) {
    Programme moved;
    for (size_t i = 0; i < base.phases(); ++i) {
      moved.phases.push_back(base.phase(i).run());
      figure.raise(moved.phases.back());
    }
    add(std::string(figure.quantity), SourceOf(figure, base.phase(0).run()),
        PreparedRun(moved, cache, base.shared()).GpuSeconds(Median));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Sensitivity& a, const Sensitivity& b) {
    return std::fabs(a.change_percent) > std::fabs(b.change_percent);
  });
  return rows;
}

}  // namespace moecast
