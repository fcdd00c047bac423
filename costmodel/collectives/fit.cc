#include "costmodel/collectives/fit.h"

#include <cmath>
#include <set>

#include "base/check.h"

namespace moecast {
namespace {

// Every automatic algorithm of a measurement; lowering does not depend on what is fitted.
struct Candidates {
  std::vector<Parts> parts;
  double measured = 0;
};

double FastestOf(const Candidates& c, const Cluster& cluster) {
  double least = INFINITY;
  for (const Parts& parts : c.parts) least = std::min(least, TimeAlone(parts, cluster).value);
  return least;
}

double Loss(std::span<const Candidates> rows, const Cluster& cluster) {
  double sum = 0;
  for (const Candidates& c : rows) {
    const double off = std::log(FastestOf(c, cluster) / c.measured);
    sum += off * off;
  }
  return sum;
}

struct Parameter {
  std::string_view name;
  double& (*of)(Cluster&);
};
constexpr Parameter kInside[] = {
    {"nvlink_usable", [](Cluster& c) -> double& { return c.device.nvlink_usable.value; }},
    {"collective_launch", [](Cluster& c) -> double& { return c.collective_launch.value; }},
    {"bulk_launch", [](Cluster& c) -> double& { return c.bulk_launch.value; }}};
constexpr Parameter kInsideStep = {"nvlink_step",
                                   [](Cluster& c) -> double& { return c.nvlink_step.value; }};
constexpr Parameter kBetween[] = {
    {"nic_usable", [](Cluster& c) -> double& { return c.nic_usable.value; }},
    {"network_step", [](Cluster& c) -> double& { return c.network_step.value; }}};

}  // namespace

ClusterFit FitCluster(const Cluster& start, std::span<const MeasuredCollective> measured) {
  MOECAST_CHECK(!measured.empty());
  const Routes routes(start);
  std::vector<Candidates> rows;
  std::set<size_t> sizes_inside;
  bool between = false;
  for (const MeasuredCollective& m : measured) {
    Candidates c{.measured = m.time.value};
    for (const CollectiveAlgorithm* a : AutomaticAlgorithms(m.call.kind, m.call.group, routes))
      c.parts.push_back(Lower(*a, m.call, routes));
    rows.push_back(std::move(c));
    if (NodesOfGroup(m.call.group, routes).nodes == 1)
      sizes_inside.insert(m.call.group.size());
    else
      between = true;
  }
  std::vector<Parameter> parameters;
  if (!sizes_inside.empty()) parameters.assign(std::begin(kInside), std::end(kInside));
  if (sizes_inside.size() > 1) parameters.push_back(kInsideStep);
  if (between) parameters.insert(parameters.end(), std::begin(kBetween), std::end(kBetween));

  // Pattern search: each parameter up and down by a factor, which shrinks when none helps.
  ClusterFit fit{.cluster = start};
  double least = Loss(rows, fit.cluster);
  for (double factor = 1.5; factor > 1.0005;) {
    bool better = false;
    for (const Parameter& p : parameters) {
      for (const double by : {factor, 1 / factor}) {
        Cluster tried = fit.cluster;
        p.of(tried) *= by;
        const double loss = Loss(rows, tried);
        if (loss >= least) continue;
        least = loss;
        fit.cluster = tried;
        better = true;
      }
    }
    if (!better) factor = std::sqrt(factor);
  }
  for (const Parameter& p : parameters) fit.fitted.push_back(p.name);
  for (const Candidates& c : rows) fit.predicted.push_back(Seconds(FastestOf(c, fit.cluster)));
  return fit;
}

}  // namespace moecast
