// How routed tokens spread over the devices of an expert-parallel group: what the cost model needs of the
// routing.
#pragma once

#include "costmodel/model.h"
#include "costmodel/plan.h"

namespace moecast {

struct ExpertLoad {
  // Tokens kept after dropping, as a fraction of those routed.
  double kept = 1;
  // Load of the slowest device over the balanced load: what a phase waits for where the ranks meet.
  double slowest = 1;
};

// Loads of `devices` devices as independent log-normal variables (never negative) of mean 1 and the given
// coefficient of variation, each cut at the capacity: the load above it is dropped, but for the part that
// belongs to sequences which are never dropped (DeepSeek-V2, arXiv 2405.04434, section 2.2.4). `kept` is the
// mean of the cut load, `slowest` the expected maximum. One device has no variation.
ExpertLoad LoadOf(const RoutingLoad& routing, int devices);

// Expected maximum of n independent standard normal variables.
double ExpectedMaximumOfNormals(int n);

// Where a token's experts are, under uniform routing.
struct TokenSpread {
  double devices = 1;  // distinct expert-parallel ranks that hold one of a token's experts
  double nodes = 1;    // distinct nodes
  double experts = 1;  // experts, the copies that low-latency kernels send
};

// Closed form: a token takes `top_groups` of `groups` groups of experts and among these `top_k` experts,
// every choice equally likely; experts lie on `ep` ranks in order, ranks on nodes of `ranks_per_node` (where
// these do not divide ep, nodes count as devices do). REQUIRES: ep divides moe.experts.
TokenSpread SpreadOf(const Moe& moe, int ep, int ranks_per_node);

}  // namespace moecast
