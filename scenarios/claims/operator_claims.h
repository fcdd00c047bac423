// Published and measured times and rates of single operators, from
// scenarios/data/claims/operators.csv.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/interval.h"
#include "costmodel/calibration/calibration.h"

namespace moecast {

enum class OperatorQuantity : uint8_t { kTimeUs, kTflops, kGbps };
template <>
struct EnumNames<OperatorQuantity> {
  static constexpr EnumName<OperatorQuantity> kNames[] = {{OperatorQuantity::kTimeUs, "time_us"},
                                                          {OperatorQuantity::kTflops, "tflops"},
                                                          {OperatorQuantity::kGbps, "gbps"}};
};

struct OperatorClaim {
  std::string name;  // "DeepGEMM m=64 n=2112 k=7168"
  std::variant<GemmQuery, GroupedGemmQuery, AttentionQuery, MlaDecodeQuery> query;
  OperatorQuantity quantity = OperatorQuantity::kTimeUs;
  double published = 0;  // in the quantity's unit
  std::string device, stack;
  std::string source;
  bool used_for_fitting = false;
};

std::vector<OperatorClaim> LoadOperatorClaims();

// What the calibration gives for the claim, with its 80% interval, in the quantity's unit.
Interval Predict(const OperatorClaim& claim, const Calibration& calibration);

}  // namespace moecast
