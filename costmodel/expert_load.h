// How routed tokens spread over the devices of an expert-parallel group: what the cost model needs of the
// routing.
#pragma once

#include "costmodel/model.h"
#include "costmodel/routing_load.h"

namespace moecast {

// Of the ranks, as a part of what each takes where a token's experts are spread as SpreadOf says and nothing
// is dropped.
struct Share {
  double mean = 1, most = 1;
  bool operator==(const Share&) const = default;
};

// What the ranks of an expert-parallel group take of one MoE layer and micro-batch, after dropping.
struct ExpertLoad {
  Share visits;  // of tokens to the experts: rows of the grouped products
  Share tokens;  // different tokens received
  Share bytes;   // of dispatch, and so of combine, through the port that takes longest
  bool operator==(const ExpertLoad&) const = default;
};
// Every rank takes the mean.
ExpertLoad EvenOf(const ExpertLoad& load);

// Loads of `devices` devices as independent log-normal variables (never negative) of mean 1 and the given
// coefficient of variation, each cut at the capacity: the load above it is dropped, but for the part that
// belongs to sequences which are never dropped (DeepSeek-V2, arXiv 2405.04434, section 2.2.4). The mean is
// that of the cut load, `most` the expected maximum; visits, tokens and bytes are taken as one. One device
// has no variation.
ExpertLoad LoadOf(const RoutingLoad& routing, int devices);

// Where a token's experts are, under uniform routing.
struct TokenSpread {
  double devices = 1;  // distinct expert-parallel ranks that hold one of a token's experts
  double nodes = 1;    // distinct nodes
  double experts = 1;  // experts, the copies that low-latency kernels send
  bool operator==(const TokenSpread&) const = default;
};

// Closed form for independent, equally likely experts: looked at best first they are a random order; a token
// takes the first `top_groups` different groups that come (the groups of best expert, DeepSeek-V2) and of
// these groups' experts the first `top_k`. Groups by the sum of their two best experts (DeepSeek-V3) have no
// closed form; drawn, they are within 1.1 % of it. Experts lie on `ep` ranks in order, ranks on nodes of
// `ranks_per_node` (where these do not divide ep, nodes count as devices do). REQUIRES: ep divides
// moe.experts.
TokenSpread SpreadOf(const Moe& moe, int ep, int ranks_per_node);

// The model's experts as a plan routes to them, whose `topk_group` may stand in for the model's top_groups.
Moe RoutedBy(std::optional<int> topk_group, Moe moe);

}  // namespace moecast
