#include "costmodel/calibration/ratio_surface.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr double kRadius = 2.3;      // steps; reaches two neighbours along each key and the diagonal ones
constexpr size_t kNearest = 8;       // curves that inverse distances weigh
constexpr double kSharpness = 1e-4;  // keeps 1/d^2 finite on a measured curve
constexpr double kMissing =
    30;  // a curve not measured so far along the axis counts this many times less an octave
constexpr double kRidge = 0.05;  // holds the slopes where neighbours lie on one line

// The intercept's weights of a weighted least-squares plane: solves A x = e0 for a symmetric positive
// definite A.
template <size_t N>
std::array<double, N> SolveForIntercept(std::array<std::array<double, N>, N> a, size_t n) {
  std::array<double, N> b{};
  b[0] = 1;
  for (size_t i = 0; i < n; ++i)
    for (size_t r = i + 1; r < n; ++r) {
      const double f = a[r][i] / a[i][i];
      for (size_t c = i; c < n; ++c) a[r][c] -= f * a[i][c];
      b[r] -= f * b[i];
    }
  for (size_t i = n; i-- > 0;) {
    for (size_t c = i + 1; c < n; ++c) b[i] -= a[i][c] * b[c];
    b[i] /= a[i][i];
  }
  return b;
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
  for (int d = 0; d < kMaxKeys; ++d) {
    std::vector<double>& grid = grid_[d];
    for (const Curve& c : curves_) grid.push_back(std::log2(c.key[d]));
    std::sort(grid.begin(), grid.end());
    grid.erase(std::unique(grid.begin(), grid.end()), grid.end());
    if (grid.size() > 1) used_[keys_++] = d;
  }
  for (const Curve& c : curves_) {
    std::array<double, kMaxKeys> place{};
    double outside = 0;
    for (int i = 0; i < keys_; ++i) place[i] = Warp(used_[i], c.key[used_[i]], outside);
    place_.push_back(place);
  }
}

double RatioSurface::Warp(int dimension, double key, double& outside) const {
  const std::vector<double>& grid = grid_[dimension];
  const double x = std::log2(key);
  outside += std::max({0.0, grid.front() - x, x - grid.back()});
  const double inside = std::clamp(x, grid.front(), grid.back());
  if (scheme_ == Scheme::kInverseDistance) return inside;
  const auto above = std::upper_bound(grid.begin(), grid.end() - 1, inside);
  if (above == grid.begin()) return 0;
  const double low = *(above - 1);
  return static_cast<double>(above - 1 - grid.begin()) + (inside - low) / (*above - low);
}

double RatioSurface::Along(size_t curve, double log_axis) const {
  const double* ratio = &log_ratio_[curve * axis_.size()];
  const double x = log_axis - log_scale_[curve];
  if (x <= log_axis_.front()) return ratio[0];
  if (x >= log_axis_.back()) return ratio[axis_.size() - 1];
  const size_t above =
      static_cast<size_t>(std::upper_bound(log_axis_.begin(), log_axis_.end(), x) - log_axis_.begin());
  const double low = log_axis_[above - 1];
  const double part = (x - low) / (log_axis_[above] - low);
  return ratio[above - 1] + part * (ratio[above] - ratio[above - 1]);
}

RatioSurface::Result RatioSurface::At(const Key& key, double axis, std::span<const char> left_out) const {
  Result result;
  std::array<double, kMaxKeys> at{};
  for (int d = 0; d < kMaxKeys; ++d)
    if (grid_[d].size() == 1) Warp(d, key[d], result.outside);
  for (int i = 0; i < keys_; ++i) at[i] = Warp(used_[i], key[used_[i]], result.outside);
  const double log_axis = std::log2(axis);

  constexpr size_t kUnknowns = kMaxKeys + 1;
  const size_t n = static_cast<size_t>(keys_) + 1;
  struct Near {
    size_t curve;
    double weight;
    std::array<double, kMaxKeys> offset;
  };
  // More curves than this within the radius do not occur on a grid of up to four keys that is read two at a
  // time.
  std::array<Near, 160> near;
  size_t count = 0;
  std::array<std::array<double, kUnknowns>, kUnknowns> normal{};
  std::array<std::pair<double, size_t>, kNearest> nearest_of;
  double nearest = 1e300;
  size_t nearest_curve = 0;
  const bool plane = scheme_ == Scheme::kLocalLinear;
  for (size_t c = 0; c < curves_.size(); ++c) {
    if (!left_out.empty() && left_out[c]) continue;
    std::array<double, kMaxKeys> offset{};
    double d2 = 0;
    for (int i = 0; i < keys_; ++i) offset[i] = place_[c][i] - at[i], d2 += offset[i] * offset[i];
    if (d2 < nearest) nearest = d2, nearest_curve = c;
    if (!plane) {
      // Insertion into the nearest so far.
      size_t i = std::min(count, kNearest);
      if (i == kNearest && d2 >= nearest_of[i - 1].first) continue;
      if (i == kNearest)
        --i;
      else
        ++count;
      for (; i > 0 && nearest_of[i - 1].first > d2; --i) nearest_of[i] = nearest_of[i - 1];
      nearest_of[i] = {d2, c};
      continue;
    }
    if (d2 >= kRadius * kRadius || count == near.size()) continue;
    const double u = std::sqrt(d2) / kRadius, t = 1 - u * u * u;
    const double own = log_axis - log_scale_[c];
    const double missing =
        std::max({0.0, log_axis_[measured_[c].first] - own, own - log_axis_[measured_[c].second]});
    Near& one = near[count++];
    one = {c, t * t * t / ((d2 + kSharpness) * (1 + kMissing * missing)), offset};
  }
  MOECAST_CHECK(nearest < 1e300);
  result.distance = std::sqrt(nearest);
  const double own_axis = log_axis - log_scale_[nearest_curve];
  const auto [first, last] = measured_[nearest_curve];
  result.outside += std::max({0.0, log_axis_[first] - own_axis, own_axis - log_axis_[last]});
  if (!plane) {
    double weights = 0;
    for (size_t i = 0; i < count; ++i) {
      const double w = 1 / (nearest_of[i].first + kSharpness);
      weights += w, result.log_ratio += w * Along(nearest_of[i].second, log_axis);
    }
    result.log_ratio /= weights;
    return result;
  }
  if (count < n) {  // alone beyond the radius: the nearest curve's
    result.log_ratio = Along(nearest_curve, log_axis);
    return result;
  }
  for (size_t j = 0; j < count; ++j) {
    std::array<double, kUnknowns> f{1};
    for (int i = 0; i < keys_; ++i) f[i + 1] = near[j].offset[i];
    for (size_t r = 0; r < n; ++r)
      for (size_t c = 0; c < n; ++c) normal[r][c] += near[j].weight * f[r] * f[c];
  }
  for (size_t i = 1; i < n; ++i) normal[i][i] += kRidge;
  const auto x = SolveForIntercept(normal, n);
  for (size_t j = 0; j < count; ++j) {
    double w = x[0];
    for (int i = 0; i < keys_; ++i) w += x[i + 1] * near[j].offset[i];
    result.log_ratio += near[j].weight * w * Along(near[j].curve, log_axis);
  }
  return result;
}

}  // namespace moecast
