// The Fields tables of traffic, and what of their values goes together.
#include <algorithm>

#include "base/fields.h"
#include "traces/traffic.h"

namespace moecast {
namespace {

constexpr double kMost = kMostTokens;
constexpr double kMostRequests = 1e8, kLongest = kLastArrivalSeconds;

using Fault = std::optional<TrafficFault>;

Fault FaultOfQuantiles(const LengthSpec& s) {
  for (size_t i = 0; i < s.quantiles.size(); ++i) {
    const std::vector<double>& at = s.quantiles[i];
    const std::string pointer = "/quantiles/" + std::to_string(i);
    if (at.size() != 2) return {{pointer, "a probability and a value"}};
    const bool first = i == 0, last = i + 1 == s.quantiles.size();
    if (first && at[0] != 0) return {{pointer + "/0", "0 first"}};
    if (last && at[0] != 1) return {{pointer + "/0", "1 last"}};
    if (!first && !(at[0] > s.quantiles[i - 1][0]))
      return {{pointer + "/0", "a probability above the one before"}};
    if (!first && !(at[1] >= s.quantiles[i - 1][1]))
      return {{pointer + "/1", "a value not below the one before"}};
  }
  if (s.quantiles.size() < 2) return {{"/quantiles", "pairs from [0, ...] to [1, ...]"}};
  return std::nullopt;
}

// The pointer is below the distribution.
Fault FaultOf(const LengthSpec& s) {
  using D = LengthDistribution;
  if (s.low > s.high) return {{"/low", "at most high, " + std::to_string(s.high)}};
  if (s.distribution == D::kUniform && s.high == kMostTokens)
    return {{"/high", "the largest value of a uniform distribution"}};
  if (s.distribution == D::kLogNormal) {
    const bool moments = s.mean && s.sigma, quantiles = s.p50 && s.p99;
    if (moments == quantiles || (moments && (s.p50 || s.p99)) || (quantiles && (s.mean || s.sigma)))
      return {{"", "of a lognormal distribution mean and sigma, or p50 and p99"}};
    if (quantiles && *s.p99 < *s.p50) return {{"/p99", "not below p50"}};
  }
  if (s.distribution == D::kQuantiles) return FaultOfQuantiles(s);
  return std::nullopt;
}

// Conversations longer than this are a mistake: each turn says again all that was said.
constexpr int64_t kMostTurns = 1000;

int64_t LargestOf(const LengthSpec& s) {
  if (s.distribution == LengthDistribution::kFixed) return std::min(s.value, s.high);
  if (s.distribution == LengthDistribution::kQuantiles)
    return std::min(s.high, static_cast<int64_t>(s.quantiles.back()[1]));
  return s.high;
}

}  // namespace

Fault CheckTraffic(const TrafficSpec& s) {
  const auto below = [](const std::string& pointer, Fault fault) {
    if (fault) fault->pointer = pointer + fault->pointer;
    return fault;
  };
  const ArrivalSpec& a = s.arrivals;
  if (!s.requests && !s.duration) return {{"", "requests, duration or both"}};
  if (a.process == ArrivalProcess::kAtOnce && !s.requests)
    return {{"/requests", "how many, where they arrive at once"}};
  double sum = 0;
  for (const double part : a.profile) sum += part;
  if (!a.profile.empty() && !(sum > 0)) return {{"/arrivals/profile", "some number above 0"}};
  if (s.requests.value_or(0) == 0 && a.rate * s.duration.value_or(Seconds(0)).value > kMostRequests)
    return {{"/duration", "at most 1e8 requests, or `requests`"}};
  if (!s.lengths_of.empty() && (s.input || s.output || s.correlation != 0))
    return {{"/lengths_of", "none beside input, output and correlation"}};
  if (s.lengths_of.empty() && !(s.input && s.output))
    return {{s.input ? "/output" : "/input", "a length, where there is no lengths_of"}};
  if (auto f = s.input ? below("/input", FaultOf(*s.input)) : std::nullopt) return f;
  if (auto f = s.output ? below("/output", FaultOf(*s.output)) : std::nullopt) return f;
  for (size_t i = 0; i < s.prefixes.size(); ++i)
    if (auto f = below("/prefixes/" + std::to_string(i) + "/tokens", FaultOf(s.prefixes[i].tokens)))
      return f;
  if (s.sessions) {
    if (auto f = below("/sessions/turns", FaultOf(s.sessions->turns))) return f;
    if (auto f = below("/sessions/input", FaultOf(s.sessions->input))) return f;
    if (LargestOf(s.sessions->turns) > kMostTurns)
      return {{"/sessions/turns/high", "at most " + std::to_string(kMostTurns) + " turns"}};
    if (s.sessions->think_time.p99 < s.sessions->think_time.p50)
      return {{"/sessions/think_time/p99", "not below p50"}};
  }
  return std::nullopt;
}

const Fields<ArrivalSpec>& FieldsOf(const ArrivalSpec*) {
  static const Fields<ArrivalSpec> fields(
      "arrivals",
      {
          Row("process", &ArrivalSpec::process,
              "gaps between arrivals: poisson, exponential; gamma and weibull of shape "
              "`burstiness`; "
              "constant, all alike; at-once, none"),
          Row("rate", &ArrivalSpec::rate,
              "conversations a second, which are requests a second where there are no sessions; "
              "the "
              "mean over the profile",
              {.low = 1e-6, .high = 1e9}),
          Row("burstiness", &ArrivalSpec::burstiness,
              "shape of gamma or weibull gaps, as vLLM's benchmark calls it: 1 is poisson, less is "
              "burstier",
              {.low = 0.01, .high = 1000}),
          Row("profile", &ArrivalSpec::profile,
              "the rate over time, relative: one number for each `profile_step`, again from the "
              "first after the last",
              {.low = 0, .high = 1e6}),
          Row("profile_step", &ArrivalSpec::profile_step, "how long a number of the profile lasts",
              {.low = 1e-3, .high = kLongest}),
          Row("tick", &ArrivalSpec::tick,
              "arrivals are rounded down to a multiple of this, as recorders do; 0 does not",
              {.low = 0, .high = 86400}),
          Row("concurrency", &ArrivalSpec::concurrency,
              "closed loop: at most so many requests are in flight, and the next waits for an end; "
              "with at-once it alone sets the pace",
              {.low = 1, .high = 1e7}),
      });
  return fields;
}

const Fields<LengthSpec>& FieldsOf(const LengthSpec*) {
  static const Fields<LengthSpec> fields(
      "length",
      {
          Row("distribution", &LengthSpec::distribution,
              "fixed: `value`; uniform: each whole number from `low` to `high`; lognormal: `mean` "
              "and "
              "`sigma`, or `p50` and `p99`; quantiles: `quantiles`, linear between them"),
          Row("value", &LengthSpec::value, "the value of fixed", {.low = 1, .high = kMost}),
          Row("low", &LengthSpec::low, "no value is smaller", {.low = 1, .high = kMost}),
          Row("high", &LengthSpec::high, "no value is larger", {.low = 1, .high = kMost}),
          Row("mean", &LengthSpec::mean, "mean of lognormal", {.low = 1, .high = kMost}),
          Row("sigma", &LengthSpec::sigma, "standard deviation of lognormal's logarithm",
              {.low = 0, .high = 10}),
          Row("p50", &LengthSpec::p50, "median of lognormal", {.low = 1, .high = kMost}),
          Row("p99", &LengthSpec::p99, "99th percentile of lognormal", {.low = 1, .high = kMost}),
          Row("quantiles", &LengthSpec::quantiles,
              "pairs of a probability and a value, rising, the first of probability 0 and the last "
              "of 1",
              {.low = 0, .high = kMost}),
      });
  return fields;
}

const Fields<PrefixSpec>& FieldsOf(const PrefixSpec*) {
  static const Fields<PrefixSpec> fields(
      "prefix", {
                    Row("fraction", &PrefixSpec::fraction,
                        "share of the conversations that begin with one", {.low = 0, .high = 1}),
                    Row("count", &PrefixSpec::count, "how many different texts there are",
                        {.low = 1, .high = 1e6}),
                    Row("zipf_exponent", &PrefixSpec::zipf_exponent,
                        "the r-th most popular in proportion to r^-zipf_exponent; 0 is all alike",
                        {.low = 0, .high = 10}),
                    RequiredRow("tokens", &PrefixSpec::tokens, "length of each text"),
                });
  return fields;
}

const Fields<ThinkTime>& FieldsOf(const ThinkTime*) {
  static const Fields<ThinkTime> fields(
      "think_time",
      {
          Row("p50", &ThinkTime::p50, "median of a lognormal distribution",
              {.low = 1e-3, .high = kLongest}),
          Row("p99", &ThinkTime::p99, "its 99th percentile", {.low = 1e-3, .high = kLongest}),
      });
  return fields;
}

const Fields<SessionSpec>& FieldsOf(const SessionSpec*) {
  static const Fields<SessionSpec> fields(
      "sessions",
      {
          RequiredRow("turns", &SessionSpec::turns, "requests of a conversation"),
          Row("think_time", &SessionSpec::think_time,
              "from the arrival of a turn to that of the next"),
          RequiredRow("input", &SessionSpec::input,
                      "tokens that a later turn adds to the prompt and the answer before it"),
          Row("longest_input", &SessionSpec::longest_input,
              "a conversation ends where its next prompt would be longer",
              {.low = 1, .high = kMost}),
      });
  return fields;
}

const Fields<TrafficSpec>& FieldsOf(const TrafficSpec*) {
  static const Fields<TrafficSpec> fields(
      "traffic",
      {
          Row("source", &TrafficSpec::source, "where the numbers come from"),
          Row("requests", &TrafficSpec::requests, "how many requests; or `duration`, or both",
              {.low = 1, .high = kMostRequests}),
          Row("duration", &TrafficSpec::duration, "requests arrive before this",
              {.low = 1e-3, .high = kLongest}),
          Row("arrivals", &TrafficSpec::arrivals, "when conversations arrive"),
          Row("input", &TrafficSpec::input, "tokens of the first prompt, its prefixes included"),
          Row("output", &TrafficSpec::output, "tokens of an answer"),
          Row("correlation", &TrafficSpec::correlation,
              "of the normal variables behind input and output (a Gaussian copula)",
              {.low = -1, .high = 1}),
          Row("lengths_of", &TrafficSpec::lengths_of,
              "a trace's file: pairs of input and output are drawn from it, in place of `input` "
              "and "
              "`output`"),
          Row("prefixes", &TrafficSpec::prefixes,
              "groups of texts that first prompts begin with, one after another"),
          Row("sessions", &TrafficSpec::sessions, "conversations of several turns"),
          Row("block_tokens", &TrafficSpec::block_tokens,
              "tokens of a block whose hash says which prompts begin alike",
              {.low = 1, .high = 1e6}),
      });
  return fields;
}

}  // namespace moecast
