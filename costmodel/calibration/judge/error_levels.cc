#include "costmodel/calibration/judge/error_levels.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/random.h"

namespace moecast {
namespace {

struct CurveMean {
  double mean = 0;
  int points = 0;
};

std::map<int, CurveMean> Means(std::span<const Residual> residuals) {
  std::map<int, CurveMean> curves;
  for (const Residual& r : residuals) curves[r.curve].mean += r.log, ++curves[r.curve].points;
  for (auto& [curve, c] : curves) c.mean /= c.points;
  return curves;
}

}  // namespace

double HalfInterval80() {
  return NormalQuantile(0.9);
}

double StudentQuantile90(int degrees) {
  // Exact for one and two degrees; the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5) is
  // within 0.002 from three on.
  if (degrees == 1) return 3.0776835372;
  if (degrees == 2) return 1.8856180832;
  const double z = HalfInterval80();
  const double v = degrees;
  const double z3 = z * z * z;
  const double z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v);
}

double Spread(std::vector<double> x) {
  if (x.empty()) return 0;
  for (double& v : x) v = std::fabs(v);
  std::sort(x.begin(), x.end());
  return x[std::min(x.size() - 1, static_cast<size_t>(0.8 * static_cast<double>(x.size())))] /
         HalfInterval80();
}

double Median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.empty() ? 0 : x[x.size() / 2];
}

ErrorLevels LevelsOf(std::span<const Residual> residuals) {
  if (residuals.empty()) return {};
  const std::map<int, CurveMean> curves = Means(residuals);
  std::set<int> units;
  std::vector<double> within, between;
  for (const Residual& r : residuals) {
    units.insert(r.unit);
    within.push_back(r.log - curves.at(r.curve).mean);
  }
  for (const auto& [curve, c] : curves) between.push_back(c.mean);
  const double n = static_cast<double>(residuals.size()) / static_cast<double>(curves.size());
  ErrorLevels levels;
  if (n > 1) levels.own = Spread(std::move(within)) * std::sqrt(n / (n - 1));
  const double means = Spread(std::move(between));
  levels.curve = std::sqrt(std::max(0.0, means * means - levels.own * levels.own / n));
  const int count = static_cast<int>(units.size());
  if (count > 1) {
    const double wider =
        StudentQuantile90(count - 1) / HalfInterval80() * std::sqrt(1 + 1.0 / count);
    levels.curve *= wider, levels.own *= wider;
  }
  return levels;
}

Coverage CoverageOf(std::span<const Residual> residuals) {
  int folds = 0;
  for (const Residual& r : residuals) folds = std::max(folds, r.fold + 1);
  const double z = HalfInterval80();
  size_t inside = 0, curves = 0, curves_inside = 0;
  for (int f = 0; f < folds; ++f) {
    std::vector<Residual> of_fold, others;
    for (const Residual& r : residuals) (r.fold == f ? of_fold : others).push_back(r);
    const ErrorLevels levels = LevelsOf(others);
    const double half = z * std::hypot(levels.curve, levels.own);
    for (const Residual& r : of_fold) inside += std::fabs(r.log) <= half;
    for (const auto& [curve, c] : Means(of_fold)) {
      ++curves;
      curves_inside +=
          std::fabs(c.mean) <= z * std::hypot(levels.curve, levels.own / std::sqrt(c.points));
    }
  }
  if (residuals.empty()) return {};
  return {100 * static_cast<double>(inside) / static_cast<double>(residuals.size()),
          100 * static_cast<double>(curves_inside) / static_cast<double>(curves)};
}

}  // namespace moecast
