// How unequal the ranks of an expert-parallel group are loaded in serving: by how many tokens an
// iteration has, as the fewer they are the more chance spreads them, and with experts placed by
// what was routed before, hot ones in several copies (EPLB; expert_placement.h).
#pragma once

#include <optional>
#include <vector>

#include "costmodel/expert_load.h"
#include "sim/routing/expert_placement.h"
#include "sim/routing/routed.h"
#include "traces/routing_record.h"

namespace moecast {

// The experts of a setup with so many slots for copies.
PlacementShape PlacementShapeOf(const RoutingSetup& setup, int redundant);

// Loads of iterations whose tokens the ranks send in equal numbers.
struct RankLoads {
  std::vector<double> tokens;  // that a rank sends, ascending; at least one
  std::vector<ExpertLoad> at;  // by these
  // Between two by the logarithm of the tokens; beyond the ends as at them.
  ExpertLoad Of(double tokens_of_rank) const;
};

// The closed form of device_cv for any number of tokens; what was recorded, as it was; or tokens as
// they are described, routed: up to kOfSequences of a rank of sequences of their own, as where it
// decodes, more of one prompt. `redundant`, where given: experts lie where EPLB puts them for the
// tokens before, with so many slots for copies beyond one an expert. The spread is that of the
// slots. REQUIRES: ranks divide the slots.
inline constexpr int64_t kOfSequences = 256;
RankLoads RankLoadsOf(RoutingSetup setup, const RoutingRecord* record,
                      const std::optional<int>& redundant);

}  // namespace moecast
