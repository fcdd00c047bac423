// What a scenario says of how tokens choose experts. Plain data; the Fields table documents every
// member.
#pragma once

#include <optional>
#include <string>

#include "base/fields_fwd.h"
#include "costmodel/gating/token_mix.h"
#include "costmodel/model.h"

namespace moecast {

// How unequal the devices of an expert-parallel group are loaded: by how much, what tokens make
// them so, or what was recorded.
struct RoutingLoad {
  double device_cv = 0;
  std::optional<TokenMix> tokens;       // in place of device_cv
  std::optional<std::string> recorded;  // in place of both: a file (traces/routing_record.h)
  std::optional<double> capacity_factor;
  double never_dropped = 0;
  std::optional<int> topk_group;
  std::optional<double> top_p;
  bool operator==(const RoutingLoad&) const = default;
};
const Fields<RoutingLoad>& FieldsOf(const RoutingLoad*);

struct RoutingFault {
  std::string pointer;  // below the routing section: "/device_cv"
  std::string expected;
};
// The first thing that contradicts the rest or does not fit the experts on `ep` ranks, or nothing.
std::optional<RoutingFault> CheckRouting(const RoutingLoad& routing, const Moe& moe, int ep);

}  // namespace moecast
