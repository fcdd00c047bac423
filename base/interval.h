// A prediction with its uncertainty: the 10th, 50th and 90th percentile.
#pragma once

#include <vector>

namespace moecast {

struct Interval {
  double p10 = 0, p50 = 0, p90 = 0;
};

// The q-th quantile by linear interpolation between order statistics (Hyndman and Fan's type 7).
// REQUIRES: sorted is that, and not empty; 0 <= q <= 1.
double Percentile(const std::vector<double>& sorted, double q);

// Percentiles of a sample. REQUIRES: samples is not empty.
Interval IntervalOf(std::vector<double> samples);

}  // namespace moecast
