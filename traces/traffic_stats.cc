#include "traces/traffic_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "base/check.h"
#include "base/interval.h"

namespace moecast {
namespace {

template <class T>
std::vector<double> Each(const RequestTrace& trace, T Request::*member) {
  std::vector<double> values;
  values.reserve(trace.requests.size());
  for (const Request& r : trace.requests) values.push_back(static_cast<double>(r.*member));
  return values;
}

double MeanOf(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
// The mean of (x - mean x) (y - mean y).
double CovarianceOf(const std::vector<double>& x, const std::vector<double>& y) {
  const double mx = MeanOf(x), my = MeanOf(y);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mx) * (y[i] - my);
  return sum / static_cast<double>(x.size());
}

LengthStats LengthStatsOf(std::vector<double> x) {
  LengthStats s{.mean = MeanOf(x)};
  std::sort(x.begin(), x.end());
  s.p10 = Percentile(x, 0.1);
  s.median = Percentile(x, 0.5);
  s.p90 = Percentile(x, 0.9);
  s.p99 = Percentile(x, 0.99);
  s.max = x.back();
  return s;
}

// How many arrive in each of the whole windows.
std::vector<double> Counts(const RequestTrace& trace, Time window, size_t windows) {
  std::vector<double> counts(windows, 0.0);
  for (const Request& r : trace.requests) {
    const auto at = static_cast<size_t>((r.arrival - trace.requests[0].arrival).ps / window.ps);
    if (at < windows) ++counts[at];
  }
  return counts;
}

std::optional<double> Dispersion(const RequestTrace& trace, Time span, int64_t seconds) {
  constexpr size_t kFewest = 10;
  const Time window{seconds * 1'000'000'000'000};
  const auto windows = static_cast<size_t>(span.ps / window.ps);
  if (windows < kFewest) return std::nullopt;
  const std::vector<double> counts = Counts(trace, window, windows);
  const double mean = MeanOf(counts);
  return mean > 0 ? std::optional(CovarianceOf(counts, counts) / mean) : std::nullopt;
}

std::optional<ArrivalStats> ArrivalStatsOf(const RequestTrace& trace) {
  const Time span = trace.requests.back().arrival - trace.requests[0].arrival;
  if (!trace.timed || span == Time{}) return std::nullopt;
  constexpr size_t kParts = 12;
  ArrivalStats s{.duration_s = span.seconds().value};
  s.rate = static_cast<double>(trace.requests.size() - 1) / s.duration_s;
  std::vector<double> gaps;
  for (size_t i = 1; i < trace.requests.size(); ++i)
    gaps.push_back((trace.requests[i].arrival - trace.requests[i - 1].arrival).seconds().value);
  s.gap_cv = std::sqrt(CovarianceOf(gaps, gaps)) / MeanOf(gaps);
  s.dispersion_10s = Dispersion(trace, span, 10);
  s.dispersion_60s = Dispersion(trace, span, 60);
  s.rates.assign(kParts, 0.0);
  for (const Request& r : trace.requests) {
    const auto part = static_cast<size_t>((r.arrival - trace.requests[0].arrival).seconds() /
                                          span.seconds() * static_cast<double>(kParts));
    s.rates[std::min(part, kParts - 1)] += static_cast<double>(kParts) / s.duration_s;
  }
  return s;
}

// Ranks from 0, those of equal values their mean.
std::vector<double> RanksOf(const std::vector<double>& x) {
  std::vector<size_t> order(x.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] < x[b]; });
  std::vector<double> ranks(x.size());
  for (size_t i = 0, end; i < order.size(); i = end) {
    for (end = i; end < order.size() && x[order[end]] == x[order[i]];) ++end;
    for (size_t k = i; k < end; ++k) ranks[order[k]] = static_cast<double>(i + end - 1) / 2;
  }
  return ranks;
}

std::optional<double> Spearman(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> a = RanksOf(x), b = RanksOf(y);
  const double deviations = std::sqrt(CovarianceOf(a, a) * CovarianceOf(b, b));
  return deviations > 0 ? std::optional(CovarianceOf(a, b) / deviations) : std::nullopt;
}

std::optional<PrefixStats> PrefixStatsOf(const RequestTrace& trace) {
  if (trace.hash_ids.empty()) return std::nullopt;
  PrefixStats s;
  std::unordered_set<uint64_t> known;
  std::vector<double> hits;
  double input = 0;
  for (const Request& r : trace.requests) {
    const auto blocks = trace.BlocksOf(r);
    size_t first_new = 0;
    while (first_new < blocks.size() && known.contains(blocks[first_new])) ++first_new;
    known.insert(blocks.begin(), blocks.end());
    hits.push_back(static_cast<double>(
        std::min(static_cast<int64_t>(first_new) * trace.block_tokens, r.input_tokens)));
    input += static_cast<double>(r.input_tokens);
    s.blocks += static_cast<int64_t>(blocks.size());
  }
  s.distinct_blocks = static_cast<int64_t>(known.size());
  s.hit_rate = std::accumulate(hits.begin(), hits.end(), 0.0) / input;
  s.hit_tokens = LengthStatsOf(std::move(hits));
  return s;
}

}  // namespace

std::vector<double> InputsOf(const RequestTrace& trace) {
  return Each(trace, &Request::input_tokens);
}
std::vector<double> OutputsOf(const RequestTrace& trace) {
  return Each(trace, &Request::output_tokens);
}

TrafficStats StatsOf(const RequestTrace& trace) {
  MOECAST_CHECK(!trace.requests.empty());
  const std::vector<double> inputs = InputsOf(trace), outputs = OutputsOf(trace);
  return {.requests = static_cast<int64_t>(trace.requests.size()),
          .left_out = trace.left_out,
          .arrivals = ArrivalStatsOf(trace),
          .input = LengthStatsOf(inputs),
          .output = LengthStatsOf(outputs),
          .correlation = Spearman(inputs, outputs),
          .prefixes = PrefixStatsOf(trace)};
}

double LargestDifference(std::vector<double> a, std::vector<double> b) {
  MOECAST_CHECK(!a.empty() && !b.empty());
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double largest = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double at = std::min(a[i], b[j]);
    while (i < a.size() && a[i] == at) ++i;
    while (j < b.size() && b[j] == at) ++j;
    largest = std::max(largest, std::fabs(static_cast<double>(i) / static_cast<double>(a.size()) -
                                          static_cast<double>(j) / static_cast<double>(b.size())));
  }
  return largest;
}

}  // namespace moecast
