#include "base/random.h"

#include <cmath>
#include <utility>

#include "base/check.h"

namespace moecast {
double Random::Normal() {
  double u = Uniform();
  while (u == 0) u = Uniform();
  return NormalQuantile(u);
}

double NormalQuantile(double p) {
  MOECAST_CHECK(p > 0 && p < 1);
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                 1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                                 6.680131188771972e+01, -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                 -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                 3.754408661907416e+00};
  constexpr double kLow = 0.02425;
  const auto tail = [](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  if (p < kLow) return tail(std::sqrt(-2 * std::log(p)));
  if (p > 1 - kLow) return -tail(std::sqrt(-2 * std::log(1 - p)));
  const double q = p - 0.5, r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

std::vector<double> LatinHypercube(int n, uint64_t key) {
  MOECAST_CHECK(n > 0);
  std::vector<double> points;
  points.reserve(static_cast<size_t>(n));
  for (int i = 0; i < n; ++i) points.push_back((i + 0.5) / n);
  // Fisher and Yates.
  Random rng(key);
  for (size_t i = points.size() - 1; i > 0; --i) std::swap(points[i], points[rng.Below(i + 1)]);
  return points;
}

uint64_t KeyOf(std::string_view name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Random(hash ^ (seed * 0x9e3779b97f4a7c15ULL)).Next();
}

}  // namespace moecast
