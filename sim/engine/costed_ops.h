// Ops with their costs, ready to run as a block.
#pragma once

#include <vector>

#include "costmodel/op_cost.h"
#include "sim/engine/block.h"

namespace moecast {

// `overlaps`: the ops may run beside those of another block. (Where they do not, and none of them
// communicates, nothing runs beside another and no op is slowed.)
CostedOps CostedBy(std::vector<Op> ops, bool overlaps, OpCosts& costs);

}  // namespace moecast
