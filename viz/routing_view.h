// What `moecast routing` prints, as JSON and as tables for a person.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/routing/routing_report.h"

namespace moecast {

Json RoutingJson(const RoutingReport& report);
std::string RoutingText(const RoutingReport& report);

}  // namespace moecast
