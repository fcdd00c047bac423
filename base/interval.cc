#include "base/interval.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {

double Percentile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Interval IntervalOf(std::vector<double> samples) {
  MOECAST_CHECK(!samples.empty());
  std::sort(samples.begin(), samples.end());
  return {Percentile(samples, 0.1), Percentile(samples, 0.5), Percentile(samples, 0.9)};
}

}  // namespace moecast
