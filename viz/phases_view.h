// The phases of a TrainReport and their sum, as JSON and as a table.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/forecast/train_report.h"

namespace moecast {

// With `intervals` of gpu_hours, days and cost_usd; with failures wall_days and wall_cost_usd too.
Json PhasesJson(const TrainReport& report);

// "" for one phase without failures, of which the head of the report says all.
std::string PhasesText(const TrainReport& report);

}  // namespace moecast
