// What a trace of requests is like, in numbers that say how hard it is to serve: lengths, rates and
// their bursts, and how much of the prompts a prefix cache would know.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "traces/requests.h"

namespace moecast {

// Of whole numbers; percentiles by linear interpolation.
struct LengthStats {
  double mean = 0, p10 = 0, median = 0, p90 = 0, p99 = 0, max = 0;
};

// Of when requests arrive; all of the time from the first to the last arrival.
struct ArrivalStats {
  double duration_s = 0;
  double rate = 0;    // requests a second: one less than there are over the duration
  double gap_cv = 0;  // standard deviation of the gaps over their mean; 1 for Poisson
  // Variance over mean of the requests in windows of so many seconds: 1 for Poisson, more where
  // arrivals come in bursts or the rate changes. None where there are fewer than 10 windows.
  std::optional<double> dispersion_10s, dispersion_60s;
  std::vector<double> rates;  // of twelve equal parts
};

// Of a prefix cache that forgets nothing: a block is known where an earlier request had its hash.
struct PrefixStats {
  double hit_rate = 0;  // tokens of known blocks at the start of prompts over tokens of prompts
  LengthStats hit_tokens;
  int64_t blocks = 0, distinct_blocks = 0;
};

struct TrafficStats {
  int64_t requests = 0, left_out = 0;
  std::optional<ArrivalStats> arrivals;  // none without arrival times, or where all are the same
  LengthStats input, output;
  // Spearman's correlation of input and output; none where one of them is constant.
  std::optional<double> correlation;
  std::optional<PrefixStats> prefixes;  // none without hashes
};

// REQUIRES: the trace has requests.
TrafficStats StatsOf(const RequestTrace& trace);

// The tokens of prompts and of answers.
std::vector<double> InputsOf(const RequestTrace& trace);
std::vector<double> OutputsOf(const RequestTrace& trace);

// The largest difference between the distribution functions of two samples (Kolmogorov and
// Smirnov). REQUIRES: neither is empty.
double LargestDifference(std::vector<double> a, std::vector<double> b);

}  // namespace moecast
