// A comma-separated table of measurements: a header line of column names, then one row a line.
// Lines that start with '#' before the header are comments. Fields may be quoted ("a, ""b""" is: a,
// "b"). A broken table is a UserError that names file, line and column.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moecast {

// No measurement is above this, in whatever unit.
inline constexpr double kGreatestNumber = 1e12;

class Measurements {
 public:
  // Throws UserError: no header, a column name twice, a row with too few or too many fields, an
  // open quote.
  Measurements(std::string text, std::string file);

  const std::string& file() const { return file_; }
  size_t rows() const { return lines_.size(); }
  std::span<const std::string_view> columns() const { return columns_; }

  // The place of a column; the second form throws UserError, with the nearest name, where the table
  // has none.
  std::optional<size_t> Find(std::string_view column) const;
  size_t Column(std::string_view column) const;

  // REQUIRES: row < rows(), column < columns().size().
  std::string_view Text(size_t row, size_t column) const {
    return cells_[row * columns_.size() + column];
  }
  // Throws UserError where the field is no finite number in [low, high]; Integer also where it is
  // not whole.
  double Number(size_t row, size_t column, double low, double high) const;
  int64_t Integer(size_t row, size_t column, int64_t low, int64_t high) const;
  // Throws a UserError about this field.
  [[noreturn]] void Fail(size_t row, size_t column, const std::string& expected) const;

 private:
  size_t ReadLine(size_t at, int line, std::vector<std::string_view>& fields);

  std::shared_ptr<const std::string> text_;  // cells_ point into it, so copies of a table share it
  std::shared_ptr<std::deque<std::string>> unquoted_;
  std::string file_;
  std::vector<std::string_view> columns_;
  std::vector<std::string_view> cells_;  // rows() x columns
  std::vector<int> lines_;               // line of each row
};

}  // namespace moecast
