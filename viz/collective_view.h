// What `moecast collective` prints.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/network/collective_report.h"

namespace moecast {

Json CollectiveJson(const Cluster& cluster, const CollectiveReport& report);  // every link
std::string CollectiveText(const Cluster& cluster,
                           const CollectiveReport& report);  // the busiest links

}  // namespace moecast
