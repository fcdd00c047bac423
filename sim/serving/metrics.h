// What a served load is measured by, with vLLM's names and definitions, and the service level
// objectives that users of it are promised.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "sim/serving/simulate.h"

namespace moecast {

// Over requests, or over gaps between tokens.
struct LatencyStats {
  Seconds mean, median, p90, p99;
};

struct ServingRates {
  double requests = 0, input_tokens = 0, output_tokens = 0;  // a second
  LatencyStats queue;                                        // before its prompt is begun
  LatencyStats ttft;                                         // time to first token
  LatencyStats tpot;  // time per output token after the first, of requests with more than one
  LatencyStats itl;   // gaps between the tokens of a sequence
  LatencyStats e2el;  // from arrival to last token
};

// Of the requests that were completed; throughputs over the time from the first arrival to the last
// token.
ServingRates RatesOf(const RequestTrace& load, const ServingOutcome& outcome);

// Whether the load is held. A queue that only chance has made grows with the square root of the
// arrivals, one of a load that is not held with their number: three deviations and 2% are let pass.
// Always of a closed loop, and where all arrive at once.
bool IsStable(const RequestTrace& load, const ServingOutcome& outcome);

// The tables of names: "p99", "ttft".
struct LatencyStat {
  std::string_view name;
  Seconds LatencyStats::*value;
};
struct Latency {
  std::string_view name;
  std::string_view help;
  LatencyStats ServingRates::*stats;
  // Of one request with its sequence's lengths; null where a request has many.
  std::optional<Seconds> (*of)(const Request& asked, const RequestOutcome& outcome);
};

// "p99_ttft_ms": one stat of one latency.
struct LatencyMetric {
  const LatencyStat* stat = nullptr;
  const Latency* latency = nullptr;

  std::string name() const;
  Seconds In(const ServingRates& rates) const { return rates.*latency->stats.*stat->value; }
};
std::vector<LatencyMetric> LatencyMetrics();  // all there are

// Requests, input or output tokens a second: "output_throughput".
struct Throughput {
  std::string_view name;
  std::string_view help;
  double ServingRates::*rate;
};
std::span<const Throughput> Throughputs();

// A service level objective: the metric is to be at most this.
struct SloTerm {
  LatencyMetric metric;
  Seconds limit;
};
using Slo = std::vector<SloTerm>;

bool Meets(const ServingRates& rates, const Slo& slo);
// Completed requests a second that are themselves within the limits of their latencies, whatever
// the stat; gaps between tokens are no request's own and do not count.
double GoodputOf(const RequestTrace& load, const ServingOutcome& outcome, const Slo& slo);

}  // namespace moecast
