#include "sim/serving/metrics.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

// Of values ascending; a quantile is the least that so many of them do not exceed.
LatencyStats StatsOf(const std::vector<Seconds>& sorted) {
  if (sorted.empty()) return {};
  const auto n = static_cast<double>(sorted.size());
  const auto quantile = [&](double part) {
    return sorted[static_cast<size_t>(std::max(1.0, std::ceil(part * n))) - 1];
  };
  Seconds sum;
  for (const Seconds value : sorted) sum += value;
  return {.mean = sum / n, .median = quantile(0.5), .p90 = quantile(0.9), .p99 = quantile(0.99)};
}

LatencyStats StatsOf(const TokenGaps& gaps) {
  if (gaps.count() == 0) return {};
  return {.mean = gaps.sum() / static_cast<double>(gaps.count()),
          .median = gaps.Quantile(0.5),
          .p90 = gaps.Quantile(0.9),
          .p99 = gaps.Quantile(0.99)};
}

std::optional<Seconds> Queue(const Request&, const RequestOutcome& r) {
  return (r.started - r.arrival).seconds();
}

std::optional<Seconds> Ttft(const Request&, const RequestOutcome& r) {
  return (r.first_token - r.arrival).seconds();
}

std::optional<Seconds> Tpot(const Request& asked, const RequestOutcome& r) {
  if (asked.output_tokens < 2) return std::nullopt;
  return (r.end - r.first_token).seconds() / static_cast<double>(asked.output_tokens - 1);
}

std::optional<Seconds> E2el(const Request&, const RequestOutcome& r) {
  return (r.end - r.arrival).seconds();
}

constexpr LatencyStat kStats[] = {{"mean", &LatencyStats::mean},
                                  {"median", &LatencyStats::median},
                                  {"p90", &LatencyStats::p90},
                                  {"p99", &LatencyStats::p99}};
constexpr Latency kLatencies[] = {{"queue", "time in the queue", &ServingRates::queue, Queue},
                                  {"ttft", "time to first token", &ServingRates::ttft, Ttft},
                                  {"tpot", "time per output token", &ServingRates::tpot, Tpot},
                                  {"itl", "gaps between tokens", &ServingRates::itl, nullptr},
                                  {"e2el", "end to end", &ServingRates::e2el, E2el}};

constexpr Throughput kThroughputs[] = {
    {"request_throughput", "requests/s", &ServingRates::requests},
    {"input_throughput", "input tokens/s", &ServingRates::input_tokens},
    {"output_throughput", "output tokens/s", &ServingRates::output_tokens}};

// visit(asked, outcome) for each request that was completed.
template <class Visit>
void EachCompleted(const RequestTrace& load, const ServingOutcome& outcome, Visit visit) {
  for (size_t i = 0; i < outcome.requests.size(); ++i)
    if (outcome.requests[i].how == RequestEnd::kCompleted)
      visit(load.requests[i], outcome.requests[i]);
}

double DurationOf(const ServingOutcome& outcome) {
  return (outcome.end - outcome.begin).seconds().value;
}

}  // namespace

std::string LatencyMetric::name() const {
  return std::string(stat->name) + "_" + std::string(latency->name) + "_ms";
}

std::vector<LatencyMetric> LatencyMetrics() {
  std::vector<LatencyMetric> all;
  for (const Latency& latency : kLatencies)
    for (const LatencyStat& stat : kStats) all.push_back({&stat, &latency});
  return all;
}

std::span<const Throughput> Throughputs() {
  return kThroughputs;
}

ServingRates RatesOf(const RequestTrace& load, const ServingOutcome& outcome) {
  ServingRates rates;
  double requests = 0, input = 0, output = 0;
  EachCompleted(load, outcome, [&](const Request& asked, const RequestOutcome&) {
    ++requests;
    input += static_cast<double>(asked.input_tokens);
    output += static_cast<double>(asked.output_tokens);
  });
  if (const double duration = DurationOf(outcome); duration > 0) {
    rates.requests = requests / duration;
    rates.input_tokens = input / duration;
    rates.output_tokens = output / duration;
  }
  for (const Latency& latency : kLatencies) {
    if (!latency.of) continue;
    std::vector<Seconds> values;
    EachCompleted(load, outcome, [&](const Request& asked, const RequestOutcome& r) {
      if (const auto value = latency.of(asked, r)) values.push_back(*value);
    });
    std::sort(values.begin(), values.end());
    rates.*latency.stats = StatsOf(values);
  }
  rates.itl = StatsOf(outcome.counts.gaps);
  return rates;
}

bool Meets(const ServingRates& rates, const Slo& slo) {
  return std::all_of(slo.begin(), slo.end(), [&](const SloTerm& term) {
    return term.metric.In(rates).value <= term.limit.value;
  });
}

double GoodputOf(const RequestTrace& load, const ServingOutcome& outcome, const Slo& slo) {
  double good = 0;
  EachCompleted(load, outcome, [&](const Request& asked, const RequestOutcome& r) {
    good += std::all_of(slo.begin(), slo.end(), [&](const SloTerm& term) {
      if (!term.metric.latency->of) return true;
      const auto value = term.metric.latency->of(asked, r);
      return !value || value->value <= term.limit.value;
    });
  });
  const double duration = DurationOf(outcome);
  return duration > 0 ? good / duration : 0;
}

bool IsStable(const RequestTrace& load, const ServingOutcome& outcome) {
  if (load.concurrency || load.requests.back().arrival == Time{}) return true;
  const auto arrivals = static_cast<double>(outcome.requests.size());
  return static_cast<double>(outcome.waiting_left) <= 0.02 * arrivals + 3 * std::sqrt(arrivals);
}

}  // namespace moecast
