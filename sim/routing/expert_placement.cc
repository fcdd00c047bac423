#include "sim/routing/expert_placement.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace moecast {
namespace {

// Things into packs of equally many, heaviest first, each into the lightest pack that has room
// (longest processing time first, with equal counts). Returns the things of each pack.
std::vector<std::vector<int>> PackEvenly(std::span<const double> weights, int packs) {
  const int n = static_cast<int>(weights.size());
  const auto room = static_cast<size_t>(n / packs);
  std::vector<int> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return weights[a] > weights[b]; });
  std::vector<std::vector<int>> packed(packs);
  std::vector<double> weight(packs);
  for (const int thing : order) {
    int lightest = -1;
    for (int p = 0; p < packs; ++p)
      if (packed[p].size() < room && (lightest < 0 || weight[p] < weight[lightest])) lightest = p;
    packed[lightest].push_back(thing);
    weight[lightest] += weights[thing];
  }
  return packed;
}

// Every expert once, then each further slot to the expert whose replicas carry most. Returns the
// expert of each slot.
std::vector<int> Replicate(std::span<const double> loads, int slots) {
  std::vector<int> expert_of(loads.size()), replicas(loads.size(), 1);
  std::iota(expert_of.begin(), expert_of.end(), 0);
  while (static_cast<int>(expert_of.size()) < slots) {
    int hottest = 0;
    for (size_t e = 1; e < loads.size(); ++e)
      if (loads[e] / replicas[e] > loads[hottest] / replicas[hottest])
        hottest = static_cast<int>(e);
    ++replicas[hottest];
    expert_of.push_back(hottest);
  }
  return expert_of;
}

// Experts into slots, and slots on devices: indices into `loads`, device after device.
std::vector<int> ReplicateAndPack(std::span<const double> loads, int slots, int devices) {
  const std::vector<int> expert_of = Replicate(loads, slots);
  std::vector<int> replicas(loads.size());
  for (const int e : expert_of) ++replicas[e];
  std::vector<double> weights;
  for (const int e : expert_of) weights.push_back(loads[e] / replicas[e]);
  std::vector<int> placed;
  for (const auto& pack : PackEvenly(weights, devices))
    for (const int slot : pack) placed.push_back(expert_of[slot]);
  return placed;
}

}  // namespace

bool CanPlace(PlacementPolicy policy, int experts, const PlacementShape& s) {
  if (s.slots < experts || s.slots % s.devices != 0) return false;
  return policy == PlacementPolicy::kGlobal ||
         (experts % s.groups == 0 && s.groups % s.nodes == 0 && s.devices % s.nodes == 0);
}

std::vector<int> PlaceExperts(PlacementPolicy policy, std::span<const double> loads,
                              const PlacementShape& shape) {
  const auto experts = static_cast<int>(loads.size());
  MOECAST_CHECK(CanPlace(policy, experts, shape));
  if (policy == PlacementPolicy::kGlobal)
    return ReplicateAndPack(loads, shape.slots, shape.devices);

  const int group = experts / shape.groups;
  std::vector<double> group_loads(shape.groups);
  for (int e = 0; e < experts; ++e) group_loads[e / group] += loads[e];
  std::vector<int> placed;
  for (const auto& groups : PackEvenly(group_loads, shape.nodes)) {
    std::vector<int> here;
    std::vector<double> loads_here;
    for (const int g : groups) {
      for (int e = g * group; e < (g + 1) * group; ++e) {
        here.push_back(e);
        loads_here.push_back(loads[e]);
      }
    }
    for (const int i :
         ReplicateAndPack(loads_here, shape.slots / shape.nodes, shape.devices / shape.nodes))
      placed.push_back(here[i]);
  }
  return placed;
}

std::vector<double> DeviceLoads(std::span<const int> expert_of_slot, std::span<const double> loads,
                                int devices) {
  std::vector<int> replicas(loads.size());
  for (const int e : expert_of_slot) ++replicas[e];
  std::vector<double> carried(devices);
  const size_t on_device = expert_of_slot.size() / devices;
  for (size_t s = 0; s < expert_of_slot.size(); ++s)
    carried[s / on_device] += loads[expert_of_slot[s]] / replicas[expert_of_slot[s]];
  return carried;
}

}  // namespace moecast
