// Where the tokens of an expert-parallel group go: on how many of its ranks and nodes a token's
// experts are, and how often it travels. Made once for a model, a shard and its placement, and
// handed to whoever routes tokens, builds the ops of a MoE layer or lowers its exchanges.
#pragma once

#include <cstdint>
#include <optional>

#include "base/enum_names.h"
#include "costmodel/model.h"
#include "costmodel/shard.h"
#include "topology/cluster.h"
#include "topology/placement.h"

namespace moecast {

// Where a token's experts are, under uniform routing.
struct TokenSpread {
  double devices = 1;  // distinct expert-parallel ranks that hold one of a token's experts
  double nodes = 1;    // distinct nodes
  double experts = 1;  // experts, the copies that low-latency kernels send
  bool operator==(const TokenSpread&) const = default;
};

// Closed form for independent, equally likely experts: looked at best first they are a random
// order; a token takes the first `top_groups` different groups that come (the groups of best
// expert, DeepSeek-V2) and of these groups' experts the first `top_k`. Groups by the sum of their
// two best experts (DeepSeek-V3) have no closed form; drawn, they are within 1.1 % of it. Experts
// lie on `ep` ranks in order, ranks on nodes of `ranks_per_node` (where these do not divide ep,
// nodes count as devices do). REQUIRES: ep divides moe.experts.
TokenSpread SpreadOf(const Moe& moe, int ep, int ranks_per_node);

// The model's experts as a plan routes to them, whose `topk_group` may stand in for the model's
// top_groups.
Moe RoutedBy(std::optional<int> topk_group, Moe moe);

// How often a token travels: once for each of its experts on other ranks; once to each other rank
// that has one; or once to each other node, to the rank of the sender's own place there, which
// passes it on to the node's ranks (arXiv 2412.19437, section 3.2.2).
enum class SentOnce : uint8_t { kPerExpert, kPerDevice, kPerNode };
template <>
struct EnumNames<SentOnce> {
  static constexpr EnumName<SentOnce> kNames[] = {{SentOnce::kPerExpert, "expert"},
                                                  {SentOnce::kPerDevice, "device"},
                                                  {SentOnce::kPerNode, "node"}};
};

// Of an expert-parallel group of a plan on a cluster. Groups are alike: the first stands for all.
// Experts lie on its ranks in order; rank r is on node r / ranks_per_node. The defaults are those
// of a model without experts.
struct ExpertSpread {
  int ranks = 1;
  int ranks_per_node = 1;
  SentOnce sent_once = SentOnce::kPerDevice;
  TokenSpread uniform;
  bool operator==(const ExpertSpread&) const = default;
};
// Copies of experts count as experts: which of them a token goes to, they are equally likely.
// Tokens are sent as the shard's choice of dispatch has it; what goes in two hops goes in one where
// the group does not span whole nodes. REQUIRES: a plan that CheckPlan passed, and its own shard
// and placement.
ExpertSpread ExpertSpreadOf(const Model& model, const ShardPlan& shard, const Placement& placement,
                            const Cluster& cluster);

}  // namespace moecast
