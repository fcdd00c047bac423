// Which experts sit on which device, given how much each is used: hot experts get replicas, and
// devices are packed so that each computes alike. After the two policies that DeepSeek's EPLB
// describes (github.com/deepseek-ai/EPLB, README; the algorithm here is written anew from its
// words):
//   hierarchical  groups of experts are packed on nodes, so that a token's groups stay few nodes;
//                 experts get replicas within their node; the replicas are packed on the node's
//                 devices
//   global        experts get replicas wherever they are used most, and are packed on all devices
// Both are greedy and keep the number of slots of every device equal. A replica takes an equal part
// of its expert's tokens. Ties go to the lower index.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/enum_names.h"

namespace moecast {

enum class PlacementPolicy : uint8_t { kHierarchical, kGlobal };
template <>
struct EnumNames<PlacementPolicy> {
  static constexpr EnumName<PlacementPolicy> kNames[] = {
      {PlacementPolicy::kHierarchical, "hierarchical"}, {PlacementPolicy::kGlobal, "global"}};
};

struct PlacementShape {
  int devices = 1, nodes = 1;
  int groups = 1;  // of experts, in order; used by the hierarchical policy
  int slots = 0;   // on all devices together
};

// Whether a policy can place them: devices divides the slots, of which there are as many as experts
// at least; for hierarchical also nodes divides groups and devices.
bool CanPlace(PlacementPolicy policy, int experts, const PlacementShape& shape);

// Expert of each slot, device after device. REQUIRES: CanPlace.
std::vector<int> PlaceExperts(PlacementPolicy policy, std::span<const double> loads,
                              const PlacementShape& shape);

// What each device computes of these loads, which may be others than the experts were placed by.
std::vector<double> DeviceLoads(std::span<const int> expert_of_slot, std::span<const double> loads,
                                int devices);

}  // namespace moecast
