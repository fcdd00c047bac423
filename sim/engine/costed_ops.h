// Ops with their costs, ready to run as a block.
#pragma once

#include <vector>

#include "costmodel/op_cost.h"
#include "sim/engine/block.h"

namespace moecast {

// The ops, each collective with the algorithm it is lowered by, with their costs alone and how much
// slower each is beside another. `overlaps`: they may run beside the ops of another block; where
// they do not, and none of them communicates, nothing runs beside another and no op is slowed.
CostedOps CostedBy(std::vector<Op> ops, bool overlaps, const OpCosts& costs);

}  // namespace moecast
