// The quantities a forecast rests on, by how much it follows them.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "sim/forecast/sensitivity.h"

namespace moecast {

Json SensitivityJson(const std::vector<Sensitivity>& rows);
// `gpu_hours`: the median per trillion tokens that the changes refer to.
std::string SensitivityText(const std::vector<Sensitivity>& rows, double gpu_hours);

}  // namespace moecast
