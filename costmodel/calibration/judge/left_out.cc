#include "costmodel/calibration/judge/left_out.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/random.h"
#include "costmodel/calibration/judge/inverse_distance.h"

namespace moecast {
namespace {

constexpr double kShortUs = 10;
constexpr int kFolds = 5;

struct Mean {
  size_t points = 0;
  double percent = 0;
};
// Of the points of 10 us and more with from <= axis <= to.
Mean MeanOf(std::span<const Residual> residuals, double from, double to) {
  Mean mean;
  for (const Residual& r : residuals)
    if (r.us >= kShortUs && r.axis >= from && r.axis <= to)
      mean.percent += 100 * std::fabs(std::expm1(r.log)), ++mean.points;
  if (mean.points) mean.percent /= static_cast<double>(mean.points);
  return mean;
}

// The fold of each row: families in an order that the seed decides, dealt in turn.
std::vector<int> Deal(const std::vector<int>& family_of, bool by_family, uint64_t seed) {
  const int families = 1 + *std::max_element(family_of.begin(), family_of.end());
  std::vector<int> order(static_cast<size_t>(families));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  std::vector<int> fold(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    fold[static_cast<size_t>(order[i])] = static_cast<int>(i) % (by_family ? families : kFolds);
  std::vector<int> fold_of;
  for (const int family : family_of) fold_of.push_back(fold[static_cast<size_t>(family)]);
  return fold_of;
}

}  // namespace

LeftOut EvaluateLeftOut(const TableKind& kind, const CurveTable& table, const Machine& machine,
                        uint64_t seed) {
  const RatioSurface surface = BuildSurface(kind, table, machine);
  std::vector<size_t> row_of;  // of each curve of the surface: rows with a measurement
  for (size_t r = 0; r < table.rows.size(); ++r)
    for (size_t i = 0; i < table.axis_values.size(); ++i)
      if (!std::isnan(table.At(r, i))) {
        row_of.push_back(r);
        break;
      }
  LeftOut out;
  if (row_of.empty()) return out;
  std::vector<int> family_of;
  for (const auto& c : surface.curves()) family_of.push_back(c.family);
  const std::vector<int> fold_of = Deal(family_of, kind.by_family, seed);
  const int folds = 1 + *std::max_element(fold_of.begin(), fold_of.end());

  std::vector<Residual> residuals;
  std::vector<char> left_out(row_of.size());
  std::vector<double> key(kind.keys.size());
  for (int f = 0; f < folds && folds > 1; ++f) {
    for (size_t c = 0; c < left_out.size(); ++c) left_out[c] = fold_of[c] == f;
    for (size_t c = 0; c < left_out.size(); ++c) {
      if (!left_out[c]) continue;
      const RatioSurface::Curve& curve = surface.curves()[c];
      for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(row_of[c], i);
      for (size_t i = 0; i < table.axis_values.size(); ++i) {
        const double us = table.At(row_of[c], i), axis = table.axis_values[i];
        if (std::isnan(us)) continue;
        const double estimate = std::log(kind.baseline(key, axis, table.heads, machine) * 1e6) +
                                surface.At(curve.key, axis * curve.axis_scale, left_out).log_ratio;
        residuals.push_back(
            {curve.family, f, static_cast<int>(c), axis, us, estimate - std::log(us)});
      }
    }
  }
  std::vector<int> fold_of_row(table.rows.size());
  for (size_t c = 0; c < row_of.size(); ++c) fold_of_row[row_of[c]] = fold_of[c];
  const std::vector<Residual> plain = BestInverseDistance(kind, table, fold_of_row, kShortUs);

  std::vector<Residual> longer, shorter;
  std::vector<double> percent;
  for (const Residual& r : residuals) {
    (r.us >= kShortUs ? longer : shorter).push_back(r);
    if (r.us >= kShortUs) percent.push_back(100 * std::fabs(std::expm1(r.log)));
  }
  constexpr double kEnd = 1e300;
  out.points = longer.size();
  out.mape_percent = MeanOf(longer, 0, kEnd).percent;
  std::sort(percent.begin(), percent.end());
  if (!percent.empty())
    out.p90_percent = percent[std::min(
        percent.size() - 1, static_cast<size_t>(0.9 * static_cast<double>(percent.size())))];
  out.levels = LevelsOf(longer);
  out.levels_short = LevelsOf(shorter);
  out.coverage = CoverageOf(longer);
  out.inverse_distance_mape_percent = MeanOf(plain, 0, kEnd).percent;
  for (const auto& [from, to] : {std::pair{0.0, 64.0}, {65.0, 1024.0}, {1025.0, kEnd}}) {
    const Mean mean = MeanOf(longer, from, to);
    if (mean.points)
      out.bands.push_back({from, to, mean.points, mean.percent, MeanOf(plain, from, to).percent});
  }
  return out;
}

Disagreement EngineDisagreement(const CurveTable& a, const CurveTable& b,
                                const ErrorLevels& levels) {
  std::map<std::vector<std::string>, size_t> rows;
  for (size_t r = 0; r < b.rows.size(); ++r) rows[b.rows[r]] = r;
  std::vector<std::vector<double>> curves;  // ln(a / b) of the points of each
  for (size_t r = 0; r < a.rows.size(); ++r) {
    const auto other = rows.find(a.rows[r]);
    if (other == rows.end()) continue;
    std::vector<double> logs;
    for (size_t i = 0; i < a.axis_values.size(); ++i) {
      const auto at = std::find(b.axis_values.begin(), b.axis_values.end(), a.axis_values[i]);
      if (at == b.axis_values.end()) continue;
      const double x = a.At(r, i),
                   y = b.At(other->second, static_cast<size_t>(at - b.axis_values.begin()));
      if (x >= kShortUs && y > 0) logs.push_back(std::log(x / y));  // neither is missing
    }
    if (!logs.empty()) curves.push_back(std::move(logs));
  }
  const double below = kSigmaShareOnCurve.value * std::hypot(levels.curve, levels.own);
  const auto sigma_without = [&](size_t fold) {
    std::vector<double> logs;
    for (size_t c = 0; c < curves.size(); ++c)
      if (c % kFolds != fold) logs.insert(logs.end(), curves[c].begin(), curves[c].end());
    const double all = Spread(std::move(logs));
    return std::sqrt(std::max(0.0, all * all - below * below));
  };
  Disagreement out;
  out.sigma = sigma_without(kFolds);
  size_t inside = 0;
  for (size_t fold = 0; fold < kFolds; ++fold) {
    const double half = HalfInterval80() * std::hypot(sigma_without(fold), below);
    for (size_t c = fold; c < curves.size(); c += kFolds)
      for (const double x : curves[c]) ++out.points, inside += std::fabs(x) <= half;
  }
  if (out.points)
    out.coverage_percent = 100 * static_cast<double>(inside) / static_cast<double>(out.points);
  return out;
}

}  // namespace moecast
