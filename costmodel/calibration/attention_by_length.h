// What attention kernels reach, as published by sequence length: TFLOP/s of an engine by phase,
// causal or not, head dimension. Between measured lengths and head dimensions the rate runs
// linearly in logarithms. What a figure leaves out is taken in proportion from the nearest one that
// has it:
//   wider heads than measured   rate(widest)
//                               * forward(non-causal, wanted) / forward(non-causal, widest)
//   causal backward             backward(non-causal) * forward(causal) / forward(non-causal)
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "costmodel/calibration/curve_table.h"

namespace moecast {

inline constexpr std::string_view kAttentionByLengthName = "attention_by_length";
inline constexpr std::string_view kAttentionByLengthKeys[] = {"engine", "phase", "causal",
                                                              "head_dim"};
inline constexpr std::string_view kAttentionByLengthAxis = "sequence";

class AttentionByLength {
 public:
  // Values in TFLOP/s. Throws UserError for a phase that is not forward or backward, causal not yes
  // or no, a head dimension that is no number.
  AttentionByLength(const CurveTable& table, const std::string& file);

  struct Rate {
    double flops_per_second = 0;
    bool extrapolated =
        false;  // another length or head dimension than measured, or taken in proportion
  };
  // Throws UserError, listing the engines, where the table does not have this one with non-causal
  // rates of the pass.
  Rate At(std::string_view engine, bool backward, bool causal, double head_dim,
          double sequence) const;
  // The widest head whose non-causal backward an engine was published with. Throws as At.
  double WidestBackward(std::string_view engine) const;

 private:
  struct Row {
    std::string engine;
    bool backward, causal;
    double head_dim;
    std::vector<double> rate;
  };
  double Along(const Row& row, double sequence) const;
  [[noreturn]] void FailWithout(std::string_view engine, bool backward) const;
  std::vector<const Row*> Rows(std::string_view engine, bool backward, bool causal) const;

  std::string file_;
  std::vector<double> sequences_;
  std::vector<Row> rows_;
};

}  // namespace moecast
