// What the suites of claims in CSV share: a built-in table of scenarios/data/claims, read cell by
// cell. A broken cell is a UserError that names file, line and column.
#pragma once

#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/error.h"
#include "base/units.h"
#include "traces/measurements.h"

namespace moecast {

// One row. Its table outlives it.
class ClaimRow {
 public:
  ClaimRow(const Measurements& table, size_t row) : table_(table), row_(row) {}

  std::string_view Text(std::string_view column) const {
    return table_.Text(row_, table_.Column(column));
  }
  bool IsYes(std::string_view column) const { return Text(column) == "yes"; }
  int Whole(std::string_view column) const;  // from 1 to 2^20
  double Number(std::string_view column, double low, double high) const;
  Bytes Size(std::string_view column) const;        // text with a unit
  Seconds Duration(std::string_view column) const;  // text with a unit
  template <class E>
  E Name(std::string_view column) const {
    if (const auto value = ByName<E>(Text(column))) return *value;
    Fail(column, "one of " + Join(NamesOf<E>()));
  }
  [[noreturn]] void Fail(std::string_view column, const std::string& expected) const;

 private:
  const Measurements& table_;
  size_t row_;
};

class ClaimTable {
 public:
  // REQUIRES: scenarios/data/claims has a file `suite`.csv.
  explicit ClaimTable(std::string_view suite);

  size_t rows() const { return table_.rows(); }
  ClaimRow Row(size_t row) const { return {table_, row}; }

 private:
  Measurements table_;
};

}  // namespace moecast
