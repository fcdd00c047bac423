#include "costmodel/calibration/ratio_surface.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr size_t kMostNear = 12;     // curves that kriging weighs: two rings of a grid of two keys
constexpr size_t kNear = 8;          // curves that inverse distances weigh
constexpr double kSharpness = 1e-4;  // keeps 1/d^2 finite on a measured curve
constexpr double kNugget = 1e-9;     // keeps the system regular where two curves lie in one place

using Place = std::array<double, RatioSurface::kMaxKeys>;

double Squared(const Place& a, const Place& b) {
  double d2 = 0;
  for (size_t i = 0; i < a.size(); ++i) d2 += (a[i] - b[i]) * (a[i] - b[i]);
  return d2;
}

struct Near {
  double d2;
  size_t curve;
};

// Weights w of the kriging system with one Lagrange multiplier for sum(w) = 1, by elimination with
// pivots.
void KrigingWeights(std::span<const Near> near, std::span<const Place> place,
                    std::span<double> weights) {
  std::array<std::array<double, kMostNear + 2>, kMostNear + 1> a;
  const size_t n = near.size();
  for (size_t r = 0; r < n; ++r) {
    for (size_t c = 0; c < n; ++c)
      a[r][c] = r == c ? -kNugget : std::sqrt(Squared(place[near[r].curve], place[near[c].curve]));
    a[r][n] = a[n][r] = 1;
    a[r][n + 1] = std::sqrt(near[r].d2);
  }
  a[n][n] = 0, a[n][n + 1] = 1;
  for (size_t i = 0; i <= n; ++i) {
    size_t pivot = i;
    for (size_t r = i + 1; r <= n; ++r)
      if (std::fabs(a[r][i]) > std::fabs(a[pivot][i])) pivot = r;
    std::swap(a[i], a[pivot]);
    for (size_t r = i + 1; r <= n; ++r) {
      const double f = a[r][i] / a[i][i];
      for (size_t c = i; c <= n + 1; ++c) a[r][c] -= f * a[i][c];
    }
  }
  std::array<double, kMostNear + 1> x;
  for (size_t i = n + 1; i-- > 0;) {
    x[i] = a[i][n + 1];
    for (size_t c = i + 1; c <= n; ++c) x[i] -= a[i][c] * x[c];
    x[i] /= a[i][i];
  }
  std::copy_n(x.begin(), n, weights.begin());
}

void InverseDistanceWeights(std::span<const Near> near, std::span<double> weights) {
  double sum = 0;
  for (size_t i = 0; i < near.size(); ++i) sum += weights[i] = 1 / (near[i].d2 + kSharpness);
  for (size_t i = 0; i < near.size(); ++i) weights[i] /= sum;
}

}  // namespace

RatioSurface::RatioSurface(Scheme scheme, std::vector<double> axis)
    : scheme_(scheme), axis_(std::move(axis)) {
  for (const double a : axis_) log_axis_.push_back(std::log2(a));
}

void RatioSurface::Add(const Curve& curve, std::span<const double> ratio) {
  MOECAST_CHECK(ratio.size() == axis_.size());
  size_t first = ratio.size(), last = 0;
  for (size_t i = 0; i < ratio.size(); ++i)
    if (!std::isnan(ratio[i])) first = std::min(first, i), last = i;
  MOECAST_CHECK(first < ratio.size());
  curves_.push_back(curve);
  log_scale_.push_back(std::log2(curve.axis_scale));
  measured_.emplace_back(first, last);
  double held = std::log(ratio[first]);
  for (const double r : ratio) log_ratio_.push_back(held = std::isnan(r) ? held : std::log(r));
}

void RatioSurface::Finish() {
  for (const Curve& c : curves_) {
    Place& place = place_.emplace_back();
    for (size_t d = 0; d < place.size(); ++d) {
      place[d] = std::log2(c.key[d]);
      largest_[d] = std::max(largest_[d], c.key[d]);
    }
  }
  for (size_t d = 0; d < range_.size(); ++d) {
    range_[d] = {1e300, -1e300};
    for (const Place& p : place_)
      range_[d] = {std::min(range_[d].first, p[d]), std::max(range_[d].second, p[d])};
  }
  for (size_t c = 0; c < place_.size(); ++c) {
    double nearest = 1e300;
    for (size_t other = 0; other < place_.size(); ++other)
      if (other != c) nearest = std::min(nearest, Squared(place_[c], place_[other]));
    spacing_.push_back(place_.size() > 1 && nearest > 0 ? std::sqrt(nearest) : 1);
  }
}

double RatioSurface::Inside(int dimension, double key, double& outside) const {
  const auto [low, high] = range_[static_cast<size_t>(dimension)];
  const double x = std::log2(key);
  outside += std::max({0.0, low - x, x - high});
  return std::clamp(x, low, high);
}

double RatioSurface::Along(size_t curve, double log_axis) const {
  const double* ratio = &log_ratio_[curve * axis_.size()];
  const double x = log_axis - log_scale_[curve];
  if (x <= log_axis_.front()) return ratio[0];
  if (x >= log_axis_.back()) return ratio[axis_.size() - 1];
  const size_t above = static_cast<size_t>(std::upper_bound(log_axis_.begin(), log_axis_.end(), x) -
                                           log_axis_.begin());
  const double low = log_axis_[above - 1];
  const double part = (x - low) / (log_axis_[above] - low);
  return ratio[above - 1] + part * (ratio[above] - ratio[above - 1]);
}

RatioSurface::Result RatioSurface::At(const Key& key, double axis,
                                      std::span<const char> left_out) const {
  Result result;
  Place at;
  for (int d = 0; d < kMaxKeys; ++d)
    at[static_cast<size_t>(d)] = Inside(d, key[static_cast<size_t>(d)], result.outside);
  const double log_axis = std::log2(axis);

  // Insertion into the nearest so far.
  std::array<Near, kMostNear> nearest;
  const size_t most = scheme_ == Scheme::kKriging ? kMostNear : kNear;
  size_t count = 0;
  for (size_t c = 0; c < curves_.size(); ++c) {
    if (!left_out.empty() && left_out[c]) continue;
    const double d2 = Squared(place_[c], at);
    if (count == most && d2 >= nearest[count - 1].d2) continue;
    size_t i = count < most ? count++ : count - 1;
    for (; i > 0 && nearest[i - 1].d2 > d2; --i) nearest[i] = nearest[i - 1];
    nearest[i] = {d2, c};
  }
  MOECAST_CHECK(count > 0);
  const size_t first_curve = nearest[0].curve;
  result.distance = std::sqrt(nearest[0].d2) / spacing_[first_curve];
  const double own_axis = log_axis - log_scale_[first_curve];
  const auto [first, last] = measured_[first_curve];
  result.outside += std::max({0.0, log_axis_[first] - own_axis, own_axis - log_axis_[last]});

  std::array<double, kMostNear> weights;
  const std::span<const Near> near(nearest.data(), count);
  if (scheme_ == Scheme::kKriging)
    KrigingWeights(near, place_, weights);
  else
    InverseDistanceWeights(near, weights);
  for (size_t i = 0; i < count; ++i)
    result.log_ratio += weights[i] * Along(near[i].curve, log_axis);
  return result;
}

}  // namespace moecast
