// Measured times of collectives, from scenarios/data/claims/network.csv.
#pragma once

#include <string>
#include <vector>

#include "base/interval.h"
#include "costmodel/collectives/algorithms.h"

namespace moecast {

struct NetworkClaim {
  std::string name;    // "all-gather 8 ranks 16MiB"
  std::string family;  // "DeepEP"
  std::string cluster;
  std::string algorithm;  // of the table, or "auto"
  CollectiveCall call;
  Seconds published;
  std::string source;
  bool used_for_fitting = false;
};

std::vector<NetworkClaim> LoadNetworkClaims();

// Time alone on idle links, with its 80% interval.
struct NetworkPrediction {
  Interval time;               // seconds
  std::string_view algorithm;  // that ran
};
NetworkPrediction Predict(const NetworkClaim& claim, const Cluster& cluster);

}  // namespace moecast
