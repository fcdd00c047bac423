#include "costmodel/calibration/judge/inverse_distance.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

struct Variant {
  bool efficiency, grid;
  int power;
  size_t nearest;
};

std::vector<Variant> Variants() {
  std::vector<Variant> all;
  for (const bool efficiency : {false, true})
    for (const bool grid : {false, true})
      for (const int power : {1, 2, 3, 4})
        for (const size_t nearest : {size_t{4}, size_t{8}, size_t{16}})
          all.push_back({efficiency, grid, power, nearest});
  return all;
}

// Curves as places and values along log2 of the axis.
struct Curves {
  struct Curve {
    size_t row = 0;
    std::vector<double> place;
    double log_scale = 0;
    std::vector<double> x, time, work;  // log2 of the axis, ln of microseconds, ln of the work
  };
  std::vector<Curve> all;

  Curves(const TableKind& kind, const CurveTable& table, bool grid) {
    std::vector<double> key(kind.keys.size());
    for (size_t r = 0; r < table.rows.size(); ++r) {
      for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
      const RatioSurface::Curve placed = kind.place(key);
      Curve curve;
      curve.row = r;
      for (const double k : placed.key) curve.place.push_back(std::log2(k));
      curve.log_scale = std::log2(placed.axis_scale);
      for (size_t i = 0; i < table.axis_values.size(); ++i) {
        if (std::isnan(table.At(r, i))) continue;
        curve.x.push_back(std::log2(table.axis_values[i]) + curve.log_scale);
        curve.time.push_back(std::log(table.At(r, i)));
        curve.work.push_back(std::log(kind.work(key, table.axis_values[i], table.heads)));
      }
      if (!curve.x.empty()) all.push_back(std::move(curve));
    }
    if (grid)
      for (size_t d = 0; d < RatioSurface::kMaxKeys; ++d) {
        std::vector<double> steps;
        for (const Curve& c : all) steps.push_back(c.place[d]);
        std::sort(steps.begin(), steps.end());
        steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
        for (Curve& c : all)
          c.place[d] = static_cast<double>(
              std::lower_bound(steps.begin(), steps.end(), c.place[d]) - steps.begin());
      }
  }
};

// Linear between measured places, constant beyond.
double Along(const Curves::Curve& c, double x, bool efficiency) {
  const auto value = [&](size_t i) { return efficiency ? c.time[i] - c.work[i] : c.time[i]; };
  if (x <= c.x.front()) return value(0);
  if (x >= c.x.back()) return value(c.x.size() - 1);
  const size_t above =
      static_cast<size_t>(std::upper_bound(c.x.begin(), c.x.end(), x) - c.x.begin());
  const double part = (x - c.x[above - 1]) / (c.x[above] - c.x[above - 1]);
  return value(above - 1) + part * (value(above) - value(above - 1));
}

std::vector<Residual> Residuals(const Curves& curves, std::span<const int> fold_of,
                                const Variant& v) {
  constexpr double kSharpness = 1e-2;  // keeps the weights finite where places coincide
  std::vector<Residual> out;
  std::vector<std::pair<double, const Curves::Curve*>> near;
  std::vector<double> weight;
  for (const Curves::Curve& c : curves.all) {
    near.clear();
    for (const Curves::Curve& other : curves.all) {
      if (fold_of[other.row] == fold_of[c.row]) continue;
      double d2 = 0;
      for (size_t d = 0; d < c.place.size(); ++d)
        d2 += (c.place[d] - other.place[d]) * (c.place[d] - other.place[d]);
      near.emplace_back(d2, &other);
    }
    if (near.empty()) continue;
    const size_t count = std::min(v.nearest, near.size());
    std::stable_sort(near.begin(), near.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    weight.clear();
    double weights = 0;
    for (size_t i = 0; i < count; ++i) {
      weight.push_back(std::pow(near[i].first + kSharpness, -v.power / 2.0));
      weights += weight.back();
    }
    for (size_t i = 0; i < c.x.size(); ++i) {
      double sum = 0;
      for (size_t j = 0; j < count; ++j)
        sum += weight[j] * Along(*near[j].second, c.x[i], v.efficiency);
      const double estimate = sum / weights + (v.efficiency ? c.work[i] : 0);
      out.push_back({.curve = static_cast<int>(c.row),
                     .axis = std::exp2(c.x[i] - c.log_scale),
                     .us = std::exp(c.time[i]),
                     .log = estimate - c.time[i]});
    }
  }
  return out;
}

}  // namespace

std::vector<Residual> BestInverseDistance(const TableKind& kind, const CurveTable& table,
                                          std::span<const int> fold_of, double least_us) {
  const Curves plain(kind, table, false), grid(kind, table, true);
  std::vector<Residual> best;
  double least = 0;
  for (const Variant& v : Variants()) {
    std::vector<Residual> residuals = Residuals(v.grid ? grid : plain, fold_of, v);
    double sum = 0;
    for (const Residual& r : residuals)
      if (r.us >= least_us) sum += std::fabs(std::expm1(r.log));
    if (best.empty() || sum < least) least = sum, best = std::move(residuals);
  }
  return best;
}

}  // namespace moecast
