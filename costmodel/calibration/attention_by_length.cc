#include "costmodel/calibration/attention_by_length.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

// Between (x0, y0) and (x1, y1), straight in logarithms.
double LogLog(double x0, double y0, double x1, double y1, double x) {
  return y0 * std::pow(y1 / y0, std::log(x / x0) / std::log(x1 / x0));
}

}  // namespace

AttentionByLength::AttentionByLength(const CurveTable& table, const std::string& file)
    : file_(file), sequences_(table.axis_values) {
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto& key = table.rows[r];
    const auto head_dim = ParseNumber(key[3]);
    if ((key[1] != "forward" && key[1] != "backward") || (key[2] != "yes" && key[2] != "no") ||
        !head_dim || !(*head_dim > 0))
      throw UserError({.file = file,
                       .pointer = "row " + std::to_string(r + 1),
                       .value = key[1] + "," + key[2] + "," + key[3],
                       .expected = "forward or backward, yes or no, a head dimension"});
    Row row{key[0], key[1] == "backward", key[2] == "yes", *head_dim, {}};
    for (size_t i = 0; i < sequences_.size(); ++i) {
      if (std::isnan(table.At(r, i)))
        throw UserError({.file = file,
                         .pointer = "row " + std::to_string(r + 1),
                         .value = "an empty field",
                         .expected = "a rate at every length"});
      row.rate.push_back(table.At(r, i) * 1e12);
    }
    rows_.push_back(std::move(row));
  }
  std::stable_sort(rows_.begin(), rows_.end(),
                   [](const Row& a, const Row& b) { return a.head_dim < b.head_dim; });
}

double AttentionByLength::Along(const Row& row, double sequence) const {
  if (sequence <= sequences_.front()) return row.rate.front();
  if (sequence >= sequences_.back()) return row.rate.back();
  const size_t i = static_cast<size_t>(
      std::upper_bound(sequences_.begin(), sequences_.end(), sequence) - sequences_.begin());
  return LogLog(sequences_[i - 1], row.rate[i - 1], sequences_[i], row.rate[i], sequence);
}

std::vector<const AttentionByLength::Row*> AttentionByLength::Rows(std::string_view engine,
                                                                   bool backward,
                                                                   bool causal) const {
  std::vector<const Row*> rows;
  for (const Row& row : rows_)
    if (row.engine == engine && row.backward == backward && row.causal == causal)
      rows.push_back(&row);
  return rows;
}

void AttentionByLength::FailWithout(std::string_view engine, bool backward) const {
  std::vector<std::string_view> engines;
  for (const Row& row : rows_)
    if (row.backward == backward &&
        std::find(engines.begin(), engines.end(), row.engine) == engines.end())
      engines.push_back(row.engine);
  throw UserError({.file = file_,
                   .value = std::string("no non-causal ") + (backward ? "backward" : "forward") +
                            " rates of \"" + std::string(engine) + "\"",
                   .expected = "one of " + Join(engines),
                   .hint = Nearest(engine, engines)});
}

double AttentionByLength::WidestBackward(std::string_view engine) const {
  const auto rows = Rows(engine, true, false);  // in order of their heads
  if (rows.empty()) FailWithout(engine, true);
  return rows.back()->head_dim;
}

AttentionByLength::Rate AttentionByLength::At(std::string_view engine, bool backward, bool causal,
                                              double head_dim, double sequence) const {
  const auto rows = Rows(engine, backward, causal);
  if (rows.empty()) {
    if (!causal) FailWithout(engine, backward);
    if (!backward) {  // causal forward: as far below non-causal as nothing tells; the non-causal
                      // rate
      return {At(engine, false, false, head_dim, sequence).flops_per_second, true};
    }
    const double other = At(engine, backward, false, head_dim, sequence).flops_per_second;
    const double with = At(engine, false, true, head_dim, sequence).flops_per_second;
    const double without = At(engine, false, false, head_dim, sequence).flops_per_second;
    return {other * with / without, true};
  }
  Rate rate;
  rate.extrapolated = sequence < sequences_.front() || sequence > sequences_.back();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i]->head_dim == head_dim) {
      rate.flops_per_second = Along(*rows[i], sequence);
      return rate;
    }
    if (i > 0 && rows[i - 1]->head_dim < head_dim && head_dim < rows[i]->head_dim) {
      rate.flops_per_second = LogLog(rows[i - 1]->head_dim, Along(*rows[i - 1], sequence),
                                     rows[i]->head_dim, Along(*rows[i], sequence), head_dim);
      return rate;
    }
  }
  const Row& edge = head_dim < rows.front()->head_dim ? *rows.front() : *rows.back();
  rate = {Along(edge, sequence), true};
  if (backward || causal)
    rate.flops_per_second *= At(engine, false, false, head_dim, sequence).flops_per_second /
                             At(engine, false, false, edge.head_dim, sequence).flops_per_second;
  return rate;
}

}  // namespace moecast
