// A measured table in the compact form calibrations have: one row a curve, named by its key
// columns, and one column for each value of the axis along which the curve runs. `n,k,m=1,m=4`
// heads GEMM times; an empty field was not measured.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "costmodel/calibration/head_sizes.h"
#include "traces/measurements.h"

namespace moecast {

struct CurveTable {
  static constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

  std::vector<std::string> keys;               // names of the key columns
  std::string axis;                            // "m"
  HeadSizes heads;                             // of attention: of all rows; not in the text
  std::vector<double> axis_values;             // ascending
  std::vector<std::vector<std::string>> rows;  // the key of each curve
  std::vector<double> values;  // rows.size() x axis_values.size(), positive or kMissing

  double& At(size_t row, size_t i) { return values[row * axis_values.size() + i]; }
  double At(size_t row, size_t i) const { return values[row * axis_values.size() + i]; }
  size_t points() const;  // measured ones

  double KeyNumber(
      size_t row,
      size_t key) const;  // REQUIRES: the key is a number, as ParseCurveTable checks on demand
};

// `number_keys`: these must be numbers. Throws UserError with file, line and column.
CurveTable ParseCurveTable(const Measurements& text, std::span<const std::string_view> keys,
                           std::string_view axis, bool number_keys = true);

// With `comments` as '#' lines before the header; values with 4 significant digits.
std::string PrintCurveTable(const CurveTable& table, std::span<const std::string> comments);

// Collects long-form rows (one point a row) into curves, sorted by key; the first of repeated
// points stays.
class CurveTableBuilder {
 public:
  CurveTableBuilder(std::vector<std::string> keys, std::string axis) {
    table_.keys = std::move(keys), table_.axis = std::move(axis);
  }
  void Add(std::vector<std::string> key, double axis_value, double value);
  CurveTable Build();

 private:
  struct Point {
    std::vector<std::string> key;
    double axis_value, value;
  };
  CurveTable table_;
  std::vector<Point> points_;
};

}  // namespace moecast
