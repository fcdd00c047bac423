#include "base/distributions.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {

double NormalCdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

double UniformInside(Random& random) {
  double u = random.Uniform();
  while (u == 0) u = random.Uniform();
  return u;
}

double Exponential(Random& random) {
  return -std::log(1 - random.Uniform());
}

double LogGammaVariable(double shape, Random& random) {
  const double lift = shape < 1 ? std::log(std::max(random.Uniform(), 0x1.0p-53)) / shape : 0;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.Normal(), root = 1 + c * x, v = root * root * root;
    if (root <= 0) continue;
    const double u = std::max(random.Uniform(), 0x1.0p-53);
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v) + lift;
  }
}

double Weibull(double shape, Random& random) {
  return std::pow(Exponential(random), 1 / shape);
}

Zipf::Zipf(size_t count, double exponent) {
  MOECAST_CHECK(count > 0 && exponent >= 0);
  up_to_.reserve(count);
  double sum = 0;
  for (size_t r = 0; r < count; ++r)
    up_to_.push_back(sum += std::pow(static_cast<double>(r + 1), -exponent));
}

size_t Zipf::Draw(Random& random) const {
  const double at = random.Uniform() * up_to_.back();
  const auto rank = std::upper_bound(up_to_.begin(), up_to_.end() - 1, at);
  return static_cast<size_t>(rank - up_to_.begin());
}

}  // namespace moecast
