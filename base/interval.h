// A prediction with its uncertainty: the 10th, 50th and 90th percentile.
#pragma once

#include <vector>

namespace moecast {

struct Interval {
  double p10 = 0, p50 = 0, p90 = 0;
};

// Percentiles of a sample by linear interpolation between order statistics (Hyndman and Fan's type
// 7). REQUIRES: samples is not empty.
Interval IntervalOf(std::vector<double> samples);

}  // namespace moecast
