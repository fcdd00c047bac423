// Measured and published figures of serving, from scenarios/data/claims/serving.csv: each row is a
// `moecast serve SCENARIO --set ...` and one of the numbers it prints.
#pragma once

#include <string>
#include <vector>

namespace moecast {

struct ServingClaim {
  std::string scenario;           // built-in name
  std::vector<std::string> sets;  // "serving/parallel/tp=2"
  std::string quantity;           // a key of `moecast serve --json`
  std::string relation;
  double published = 0;
  std::string source;
  bool used_for_fitting = false;

  std::string name() const;  // scenario and sets
};

std::vector<ServingClaim> LoadServingClaims();

}  // namespace moecast
