#include "traces/measurements.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "base/error.h"

namespace moecast {
namespace {

std::string Line(int line) {
  return "line " + std::to_string(line);
}

}  // namespace

// Reads the fields of the line that starts at `at`; returns where the next one starts.
size_t Measurements::ReadLine(size_t at, int line, std::vector<std::string_view>& fields) {
  const std::string_view text = *text_;
  fields.clear();
  while (true) {
    if (at < text.size() && text[at] == '"') {
      std::string field;
      size_t i = at + 1;
      for (;; ++i) {
        if (i >= text.size() || text[i] == '\n')
          throw UserError({.file = file_,
                           .pointer = Line(line),
                           .value = "a quote that is not closed",
                           .expected = "a closing \""});
        if (text[i] != '"') {
          field += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '"') {
          field += text[i++];
        } else {
          break;
        }
      }
      unquoted_->push_back(std::move(field));
      fields.push_back(unquoted_->back());
      at = i + 1;
      if (at < text.size() && text[at] != ',' && text[at] != '\n' && text[at] != '\r')
        throw UserError({.file = file_,
                         .pointer = Line(line),
                         .value = "text after a closing quote",
                         .expected = "a comma or the end of the line"});
    } else {
      const size_t end = std::min(text.find_first_of(",\n", at), text.size());
      std::string_view field = text.substr(at, end - at);
      if (field.ends_with('\r')) field.remove_suffix(1);
      fields.push_back(field);
      at = end;
    }
    if (at < text.size() && text[at] == '\r') ++at;
    if (at >= text.size()) return at;
    if (text[at] == '\n') return at + 1;
    ++at;  // the comma
  }
}

Measurements::Measurements(std::string text, std::string file)
    : text_(std::make_shared<const std::string>(std::move(text))),
      unquoted_(std::make_shared<std::deque<std::string>>()),
      file_(std::move(file)) {
  const std::string_view all = *text_;
  std::vector<std::string_view> fields;
  size_t at = 0;
  for (int line = 1; at < all.size(); ++line) {
    if (columns_.empty() && all[at] == '#') {
      at = std::min(all.find('\n', at), all.size() - 1) + 1;
      continue;
    }
    at = ReadLine(at, line, fields);
    if (fields.size() == 1 && fields[0].empty()) continue;  // an empty line
    if (columns_.empty()) {
      columns_ = fields;
      for (size_t i = 0; i < fields.size(); ++i)
        for (size_t j = 0; j < i; ++j)
          if (fields[i] == fields[j])
            throw UserError({.file = file_,
                             .pointer = Line(line),
                             .value = "column \"" + Shortened(fields[i]) + "\" twice",
                             .expected = "different column names"});
      continue;
    }
    if (fields.size() != columns_.size())
      throw UserError({.file = file_,
                       .pointer = Line(line),
                       .value = std::to_string(fields.size()) + " fields",
                       .expected = std::to_string(columns_.size()) + " as in the header"});
    cells_.insert(cells_.end(), fields.begin(), fields.end());
    lines_.push_back(line);
  }
  if (columns_.empty())
    throw UserError({.file = file_, .value = "no header line", .expected = "column names"});
}

std::optional<size_t> Measurements::Find(std::string_view column) const {
  for (size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i] == column) return i;
  return std::nullopt;
}

size_t Measurements::Column(std::string_view column) const {
  if (const auto i = Find(column)) return *i;
  throw UserError({.file = file_,
                   .value = "no column \"" + std::string(column) + "\" among " + Join(columns_),
                   .expected = "that column",
                   .hint = Nearest(column, columns_)});
}

double Measurements::Number(size_t row, size_t column, double low, double high) const {
  const std::string_view cell = Text(row, column);
  double x = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), x);
  if (error != std::errc() || end != cell.data() + cell.size() || !(x >= low && x <= high)) {
    char expected[80];
    std::snprintf(expected, sizeof expected, "a number from %g to %g", low, high);
    Fail(row, column, expected);
  }
  return x;
}

int64_t Measurements::Integer(size_t row, size_t column, int64_t low, int64_t high) const {
  const double x = Number(row, column, static_cast<double>(low), static_cast<double>(high));
  if (x != std::floor(x)) Fail(row, column, "a whole number");
  return static_cast<int64_t>(x);
}

void Measurements::Fail(size_t row, size_t column, const std::string& expected) const {
  throw UserError(
      {.file = file_,
       .pointer = Line(lines_[row]) + ", column \"" + std::string(columns_[column]) + "\"",
       .value = "\"" + Shortened(Text(row, column)) + "\"",
       .expected = expected});
}

}  // namespace moecast
