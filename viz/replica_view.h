// One replica of a step on two networks, as text and JSON.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/training/step_links.h"

namespace moecast {

// `first` is fluid, `second` SimGrid.
Json ReplicaJson(const ReplicaTimes& replica);
std::string ReplicaText(const ReplicaTimes& replica);

}  // namespace moecast
