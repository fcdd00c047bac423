#include "costmodel/calibration/curve_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "base/error.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

constexpr double kMaxValue = 1e12;

// Numbers in order of size, other texts by letter.
bool KeyLess(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const auto x = ParseNumber(a[i]), y = ParseNumber(b[i]);
    return x && y ? *x < *y : a[i] < b[i];
  }
  return false;
}

}  // namespace

size_t CurveTable::points() const {
  size_t n = 0;
  for (const double v : values) n += !std::isnan(v);
  return n;
}

double CurveTable::KeyNumber(size_t row, size_t key) const {
  const auto x = ParseNumber(rows[row][key]);
  MOECAST_CHECK(x.has_value());
  return *x;
}

CurveTable ParseCurveTable(const Measurements& text, std::span<const std::string_view> keys,
                           std::string_view axis, bool number_keys) {
  CurveTable table;
  table.axis = axis;
  std::vector<size_t> key_columns;
  for (const std::string_view key : keys) {
    table.keys.emplace_back(key);
    key_columns.push_back(text.Column(key));
  }
  std::vector<size_t> value_columns;
  for (size_t c = 0; c < text.columns().size(); ++c) {
    if (std::find(key_columns.begin(), key_columns.end(), c) != key_columns.end()) continue;
    const std::string_view name = text.columns()[c];
    const auto value = name.starts_with(std::string(axis) + "=")
                           ? ParseNumber(name.substr(axis.size() + 1))
                           : std::nullopt;
    if (!value || !(*value > 0) ||
        (!table.axis_values.empty() && *value <= table.axis_values.back()))
      throw UserError({.file = text.file(),
                       .value = "column \"" + Shortened(name) + "\"",
                       .expected = "\"" + std::string(axis) + "=NUMBER\", ascending"});
    table.axis_values.push_back(*value);
    value_columns.push_back(c);
  }
  if (value_columns.empty())
    throw UserError({.file = text.file(),
                     .value = "no column \"" + std::string(axis) + "=NUMBER\"",
                     .expected = "one or more"});
  table.values.reserve(text.rows() * value_columns.size());
  for (size_t r = 0; r < text.rows(); ++r) {
    std::vector<std::string> key;
    for (const size_t c : key_columns) {
      if (number_keys) text.Number(r, c, 0, kMaxValue);
      key.emplace_back(text.Text(r, c));
    }
    table.rows.push_back(std::move(key));
    for (const size_t c : value_columns)
      table.values.push_back(text.Text(r, c).empty() ? CurveTable::kMissing
                                                     : text.Number(r, c, 1e-6, kMaxValue));
  }
  return table;
}

std::string PrintCurveTable(const CurveTable& table, std::span<const std::string> comments) {
  std::string out;
  for (const std::string& c : comments) out += "# " + c + "\n";
  for (const std::string& key : table.keys) out += key + ",";
  char number[32];
  for (size_t i = 0; i < table.axis_values.size(); ++i) {
    std::snprintf(number, sizeof number, "%s=%.10g", table.axis.c_str(), table.axis_values[i]);
    out += (i ? "," : "") + std::string(number);
  }
  out += "\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (const std::string& key : table.rows[r]) out += key + ",";
    for (size_t i = 0; i < table.axis_values.size(); ++i) {
      if (i) out += ",";
      const double v = table.At(r, i);
      if (std::isnan(v)) continue;
      // Integers above four digits lose their last ones as zeros, so that no exponent is written.
      const double unit = std::pow(10.0, std::floor(std::log10(v)) - 3);
      if (v >= 1e4)
        std::snprintf(number, sizeof number, "%.0f", std::round(v / unit) * unit);
      else
        std::snprintf(number, sizeof number, "%.4g", v);
      out += number;
    }
    out += "\n";
  }
  return out;
}

void CurveTableBuilder::Add(std::vector<std::string> key, double axis_value, double value) {
  points_.push_back({std::move(key), axis_value, value});
}

CurveTable CurveTableBuilder::Build() {
  std::stable_sort(points_.begin(), points_.end(),
                   [](const Point& a, const Point& b) { return KeyLess(a.key, b.key); });
  for (const Point& p : points_) table_.axis_values.push_back(p.axis_value);
  std::sort(table_.axis_values.begin(), table_.axis_values.end());
  table_.axis_values.erase(std::unique(table_.axis_values.begin(), table_.axis_values.end()),
                           table_.axis_values.end());
  for (const Point& p : points_) {
    if (table_.rows.empty() || table_.rows.back() != p.key) {
      table_.rows.push_back(p.key);
      table_.values.insert(table_.values.end(), table_.axis_values.size(), CurveTable::kMissing);
    }
    const auto at =
        std::lower_bound(table_.axis_values.begin(), table_.axis_values.end(), p.axis_value);
    double& value =
        table_.At(table_.rows.size() - 1, static_cast<size_t>(at - table_.axis_values.begin()));
    if (std::isnan(value)) value = p.value;
  }
  return std::move(table_);
}

}  // namespace moecast
