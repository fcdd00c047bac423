// How unequal the ranks of an expert-parallel group are loaded: what the cost model needs of the
// routing beside where tokens go on average (costmodel/spread.h).
#pragma once

#include <span>
#include <tuple>

#include "costmodel/routing_load.h"

namespace moecast {

// What ranks take of something, as a part of what each would take if a token's experts were spread
// as SpreadOf says and nothing were dropped: over all ranks, and by the one that takes most.
struct Share {
  double mean = 1, most = 1;
  bool operator==(const Share&) const = default;
};
inline auto MembersOf(const Share& share) {
  const auto& [mean, most] = share;
  return std::tie(mean, most);
}

// What the ranks of an expert-parallel group take of one MoE layer and micro-batch, after dropping.
struct ExpertLoad {
  Share visits;  // of tokens to the experts: rows of the grouped products
  Share tokens;  // different tokens received
  Share bytes;   // of dispatch, and so of combine, through the port that takes longest
  Share hit;     // experts that any token goes to (ExpertsHit), whose weights are read
  bool operator==(const ExpertLoad&) const = default;
};
inline auto MembersOf(const ExpertLoad& load) {
  const auto& [visits, tokens, bytes, hit] = load;
  return std::tie(visits, tokens, bytes, hit);
}
inline constexpr Share ExpertLoad::*kShares[] = {&ExpertLoad::visits, &ExpertLoad::tokens,
                                                 &ExpertLoad::bytes, &ExpertLoad::hit};

// Of so many experts those that at least one of `tokens` tokens goes to, where each token goes to
// the part `each` of all experts, equally likely.
double ExpertsHit(int experts, double each, double tokens);

// REQUIRES: a load.
ExpertLoad MeanOf(std::span<const ExpertLoad> loads);
// Every rank takes the mean.
ExpertLoad EvenOf(const ExpertLoad& load);

// Loads of `devices` devices as independent log-normal variables (never negative) of mean 1 and the
// given coefficient of variation, each cut at the capacity: the load above it is dropped, but for
// the part that belongs to sequences which are never dropped (DeepSeek-V2, arXiv 2405.04434,
// section 2.2.4). The mean is that of the cut load, `most` the expected maximum; visits, tokens and
// bytes are taken as one, experts hit as of equally likely ones. One device has no variation.
ExpertLoad LoadOf(const RoutingLoad& routing, int devices);

}  // namespace moecast
