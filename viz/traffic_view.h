// What `moecast traffic` prints, as JSON and as tables for a person.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "traces/traffic_stats.h"

namespace moecast {

// A trace as it is shown beside others: its name and what it is like.
struct NamedTraffic {
  std::string name;
  RequestTrace trace;
  TrafficStats stats;
};

Json TrafficJson(const TrafficStats& stats);
// How far apart two traces are: of each length the largest difference between the distribution
// functions, of each other number the relative difference.
Json TrafficDifferenceJson(const NamedTraffic& a, const NamedTraffic& b);

// One trace, or two beside each other.
std::string TrafficText(const std::vector<NamedTraffic>& shown);

}  // namespace moecast
