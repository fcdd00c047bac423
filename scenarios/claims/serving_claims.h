// Measured and published figures of serving, from scenarios/data/claims/serving.csv: each row is a
// `moecast serve SCENARIO --set ...` and one of the numbers it prints.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moecast {

// What `moecast serve` is run with.
struct ServeArguments {
  std::string scenario;           // built-in name
  std::vector<std::string> sets;  // "serving/parallel/tp=2"
  std::string text() const;       // all of it
};

struct ServingClaim {
  std::string set;   // rows of one origin, whose errors are looked at together
  std::string name;  // the row's own, or scenario and sets
  ServeArguments of;
  // Where there is a scenario, the claim is by how many percent the quantity is less than there.
  ServeArguments baseline;
  // Where `moecast serve --json` has it: "mean_ttft_ms", "memory/kv_bytes"; of decodes alone, at
  // the batch that the engine and the cache hold, "decode_at/CONTEXT/output_throughput".
  std::string quantity;
  std::string relation;
  double published = 0;
  std::string source;
  bool used_for_fitting = false;
};

// What a quantity is a figure of: throughput, TPOT, TTFT, latency or memory.
std::string_view KindOfQuantity(std::string_view quantity);
// The mean absolute error, in percent, that figures of a kind in a set are to be within; 0 where
// nothing is asked of them.
double AimOf(std::string_view set, std::string_view kind);

std::vector<ServingClaim> LoadServingClaims();

}  // namespace moecast
