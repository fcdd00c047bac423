// Published figures beside predictions.
#pragma once

#include <string>
#include <vector>

#include "base/interval.h"
#include "base/json.h"

namespace moecast {

struct ClaimResult {
  std::string name, quantity, relation, source;
  std::string basis;  // what the prediction rests on, where there are several
  std::string kind;   // whose errors it is summed with in the mean; empty: those of its quantity
  double aim_percent = 0;  // that mean is to be at most this; 0: nothing is asked
  double published = 0;
  Interval predicted;
  bool used_for_fitting = false;
  const std::string& summed_as() const { return kind.empty() ? quantity : kind; }
  double error_percent() const { return 100 * (predicted.p50 / published - 1); }
};

Json ClaimsJson(const std::vector<ClaimResult>& results);
std::string ClaimsText(const std::vector<ClaimResult>& results);

}  // namespace moecast
