// What is alive at a rank's peak, as text and JSON.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/training/peak_memory.h"

namespace moecast {

Json PeakMemoryJson(const PeakMemory& peak);
std::string PeakMemoryText(const PeakMemory& peak);

}  // namespace moecast
