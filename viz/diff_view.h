// The difference of two plans as text and JSON.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/json_diff.h"
#include "sim/forecast/diff.h"

namespace moecast {

struct DiffSide {
  std::string
      label;  // as on the command line: "deepseek-v2-pretrain --set-b training/schedule=1f1b"
  const TrainReport& report;
};

Json DiffJson(const DiffSide& a, const DiffSide& b, const std::vector<JsonDifference>& fields,
              const PlanDifference& difference);
std::string DiffText(const DiffSide& a, const DiffSide& b,
                     const std::vector<JsonDifference>& fields, const PlanDifference& difference);

}  // namespace moecast
