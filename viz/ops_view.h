// Operators, their costs and the time of a block, as text and JSON: what --print shows of training
// and of serving.
#pragma once

#include <string>

#include "base/json_value.h"
#include "costmodel/source.h"
#include "sim/engine/block.h"

namespace moecast {

// What an op does, without and with what it costs.
Json OpJson(const Op& op);
Json CostJson(const CostSources& sources, const Op& op, const Cost& cost);
// Adds seconds, and where they go, to an object.
void AddTime(const BlockTime& time, Json& j);

// Tables of a block's ops in the order they are started, of their costs, and of where its time
// goes.
std::string OpsText(const CostedOps& costed);
std::string CostsText(const CostSources& sources, const CostedOps& costed);
std::string TimeText(const BlockTime& time);

}  // namespace moecast
