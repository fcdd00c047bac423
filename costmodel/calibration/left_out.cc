#include "costmodel/calibration/left_out.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/random.h"

namespace moecast {
namespace {

constexpr double kShortUs = 10;
constexpr int kFolds = 5;
const double kNormal80 = NormalQuantile(0.9);  // half the width of the 80% interval in sigmas

struct Error {
  int fold;
  double axis;
  double us;
  double log;
};

double Percentile(std::vector<double> x, double p) {
  if (x.empty()) return 0;
  std::sort(x.begin(), x.end());
  return x[std::min(x.size() - 1, static_cast<size_t>(p * static_cast<double>(x.size())))];
}

std::vector<double> Absolute(const std::vector<Error>& errors, int without_fold, bool brief) {
  std::vector<double> out;
  for (const Error& e : errors)
    if (e.fold != without_fold && (e.us < kShortUs) == brief) out.push_back(std::fabs(e.log));
  return out;
}

struct Mean {
  size_t points = 0;
  double percent = 0;
};
// Of the points of 10 us and more with from <= axis <= to.
Mean MeanOf(const std::vector<Error>& errors, double from, double to) {
  Mean mean;
  for (const Error& e : errors)
    if (e.us >= kShortUs && e.axis >= from && e.axis <= to)
      mean.percent += 100 * std::fabs(std::expm1(e.log)), ++mean.points;
  if (mean.points) mean.percent /= static_cast<double>(mean.points);
  return mean;
}

std::vector<Error> LeaveOut(const TableKind& kind, const CurveTable& table, const Machine& machine,
                            uint64_t seed) {
  const RatioSurface surface = BuildSurface(kind, table, machine);
  // Families in an order that the seed decides, dealt to the folds in turn.
  int families = 0;
  for (const auto& c : surface.curves()) families = std::max(families, c.family + 1);
  std::vector<int> order(static_cast<size_t>(families));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  const int folds = kind.by_family ? families : kFolds;
  std::vector<int> fold(order.size());
  for (size_t i = 0; i < order.size(); ++i) fold[static_cast<size_t>(order[i])] = static_cast<int>(i) % folds;

  std::vector<Error> errors;
  std::vector<char> left_out(surface.curves().size());
  std::vector<double> key(kind.keys.size());
  for (int f = 0; f < folds; ++f) {
    for (size_t c = 0; c < left_out.size(); ++c)
      left_out[c] = fold[static_cast<size_t>(surface.curves()[c].family)] == f;
    if (std::find(left_out.begin(), left_out.end(), 0) == left_out.end()) continue;
    size_t c = 0;
    for (size_t r = 0; r < table.rows.size(); ++r) {
      bool any = false;
      for (size_t i = 0; i < table.axis_values.size(); ++i) any = any || !std::isnan(table.At(r, i));
      if (!any) continue;
      const RatioSurface::Curve& curve = surface.curves()[c];
      if (left_out[c++]) {
        for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
        for (size_t i = 0; i < table.axis_values.size(); ++i) {
          const double us = table.At(r, i), axis = table.axis_values[i];
          if (std::isnan(us)) continue;
          const double estimate = std::log(kind.baseline(key, axis, machine) * 1e6) +
                                  surface.At(curve.key, axis * curve.axis_scale, left_out).log_ratio;
          errors.push_back({f, axis, us, estimate - std::log(us)});
        }
      }
    }
  }
  return errors;
}

double One(std::span<const double>, double, const Machine&) {
  return 1e-6;
}

}  // namespace

LeftOut EvaluateLeftOut(const TableKind& kind, const CurveTable& table, const Machine& machine,
                        uint64_t seed) {
  TableKind plain = kind;
  plain.scheme = RatioSurface::Scheme::kInverseDistance;
  plain.baseline = One;
  const std::vector<Error> errors = LeaveOut(kind, table, machine, seed);
  const std::vector<Error> plain_errors = LeaveOut(plain, table, machine, seed);
  constexpr double kEnd = 1e300;
  LeftOut out;
  const Mean all = MeanOf(errors, 0, kEnd);
  out.points = all.points;
  out.mape_percent = all.percent;
  std::vector<double> percent;
  for (const Error& e : errors)
    if (e.us >= kShortUs) percent.push_back(100 * std::fabs(std::expm1(e.log)));
  out.p90_percent = Percentile(percent, 0.9);
  out.sigma_own = Percentile(Absolute(errors, -1, false), 0.8) / kNormal80;
  out.sigma_own_short = Percentile(Absolute(errors, -1, true), 0.8) / kNormal80;
  out.inverse_distance_mape_percent = MeanOf(plain_errors, 0, kEnd).percent;
  int folds = 0;
  for (const Error& e : errors) folds = std::max(folds, e.fold + 1);
  size_t inside = 0;
  for (int f = 0; f < folds; ++f) {
    const double sigma = Percentile(Absolute(errors, f, false), 0.8) / kNormal80;
    for (const Error& e : errors)
      inside += e.fold == f && e.us >= kShortUs && std::fabs(e.log) <= sigma * kNormal80;
  }
  if (out.points) out.coverage_percent = 100 * static_cast<double>(inside) / static_cast<double>(out.points);
  for (const auto& [from, to] : {std::pair{0.0, 64.0}, {65.0, 1024.0}, {1025.0, kEnd}}) {
    const Mean mean = MeanOf(errors, from, to);
    if (mean.points)
      out.bands.push_back({from, to, mean.points, mean.percent, MeanOf(plain_errors, from, to).percent});
  }
  return out;
}

size_t DropSpikes(const TableKind& kind, CurveTable& table, const Machine& machine) {
  constexpr double kSpike = 2;
  size_t dropped = 0;
  std::vector<double> key(kind.keys.size());
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
    std::vector<size_t> place;
    std::vector<double> ratio;
    for (size_t i = 0; i < table.axis_values.size(); ++i) {
      if (std::isnan(table.At(r, i))) continue;
      place.push_back(i);
      ratio.push_back(table.At(r, i) / kind.baseline(key, table.axis_values[i], machine));
    }
    for (size_t i = 0; i < ratio.size() && ratio.size() >= 3; ++i) {
      const double before = ratio[i > 0 ? i - 1 : 2], after = ratio[i + 1 < ratio.size() ? i + 1 : i - 2];
      if (ratio[i] <= kSpike * std::max(before, after)) continue;
      // Less work took longer, so it was not the model that missed a step of the kernel.
      if (i + 1 < ratio.size() && table.At(r, place[i]) <= table.At(r, place[i + 1])) continue;
      table.At(r, place[i]) = CurveTable::kMissing;
      ++dropped;
    }
  }
  return dropped;
}

double EngineDisagreement(const CurveTable& a, const CurveTable& b) {
  std::map<std::vector<std::string>, size_t> rows;
  for (size_t r = 0; r < b.rows.size(); ++r) rows[b.rows[r]] = r;
  std::vector<double> curves;
  for (size_t r = 0; r < a.rows.size(); ++r) {
    const auto other = rows.find(a.rows[r]);
    if (other == rows.end()) continue;
    double sum = 0;
    int n = 0;
    for (size_t i = 0; i < a.axis_values.size(); ++i) {
      const auto at = std::find(b.axis_values.begin(), b.axis_values.end(), a.axis_values[i]);
      if (at == b.axis_values.end()) continue;
      const double x = a.At(r, i), y = b.At(other->second, static_cast<size_t>(at - b.axis_values.begin()));
      if (!(x >= kShortUs && y > 0)) continue;  // also where either is missing
      sum += std::log(x / y), ++n;
    }
    if (n) curves.push_back(std::fabs(sum / n));
  }
  return 1.4826 * Percentile(curves, 0.5);
}

}  // namespace moecast
