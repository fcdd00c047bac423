// Traffic to a serving system as it is described rather than recorded: how requests arrive, how
// long they are, which of their prompts begin alike, who comes back. Generate draws a trace of it.
//
// A conversation arrives, its first prompt of `input` tokens and its answer of `output`. The prompt
// begins with the text of one of each group of `prefixes`, as long as it reaches. With `sessions`
// it comes back: the next prompt is the last one, its answer and a few words more.
//
// Left out: when a turn is asked depends on when the one before was answered; here think times are
// from arrival to arrival.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"
#include "traces/requests.h"

namespace moecast {

enum class ArrivalProcess { kPoisson, kGamma, kWeibull, kConstant, kAtOnce };
template <>
struct EnumNames<ArrivalProcess> {
  static constexpr EnumName<ArrivalProcess> kNames[] = {{ArrivalProcess::kPoisson, "poisson"},
                                                        {ArrivalProcess::kGamma, "gamma"},
                                                        {ArrivalProcess::kWeibull, "weibull"},
                                                        {ArrivalProcess::kConstant, "constant"},
                                                        {ArrivalProcess::kAtOnce, "at-once"}};
};

// Gaps between arrivals are independent draws with mean 1 / rate, in a time that runs as fast as
// the profile says.
struct ArrivalSpec {
  ArrivalProcess process = ArrivalProcess::kPoisson;
  double rate = 1;        // conversations a second
  double burstiness = 1;  // the shape of gamma or Weibull gaps
  std::vector<double> profile;
  Seconds profile_step{60};
  Seconds tick{0};
  std::optional<int64_t> concurrency;
};
const Fields<ArrivalSpec>& FieldsOf(const ArrivalSpec*);

enum class LengthDistribution { kFixed, kUniform, kLogNormal, kQuantiles };
template <>
struct EnumNames<LengthDistribution> {
  static constexpr EnumName<LengthDistribution> kNames[] = {
      {LengthDistribution::kFixed, "fixed"},
      {LengthDistribution::kUniform, "uniform"},
      {LengthDistribution::kLogNormal, "lognormal"},
      {LengthDistribution::kQuantiles, "quantiles"}};
};

// A distribution of whole numbers: of tokens, or of the turns of a session.
struct LengthSpec {
  LengthDistribution distribution = LengthDistribution::kFixed;
  int64_t value = 1;
  int64_t low = 1, high = kMostTokens;
  std::optional<double> mean, sigma, p50, p99;
  std::vector<std::vector<double>> quantiles;  // {probability, value}, both rising, from 0 to 1
};
const Fields<LengthSpec>& FieldsOf(const LengthSpec*);

// The whole number below which a share u of the distribution lies, at least `low` and at most
// `high`. REQUIRES: 0 < u < 1, CheckTraffic finds no fault.
int64_t QuantileOf(const LengthSpec& spec, double u);

// A group of texts, one of which begins a conversation's first prompt behind those of the groups
// before.
struct PrefixSpec {
  double fraction = 1;
  int64_t count = 1;
  double zipf_exponent = 0;
  LengthSpec tokens;
};
const Fields<PrefixSpec>& FieldsOf(const PrefixSpec*);

struct ThinkTime {
  Seconds p50{60};
  Seconds p99{60};
};
const Fields<ThinkTime>& FieldsOf(const ThinkTime*);

struct SessionSpec {
  LengthSpec turns;
  ThinkTime think_time;
  LengthSpec input;  // what a later turn adds
  int64_t longest_input = kMostTokens;
};
const Fields<SessionSpec>& FieldsOf(const SessionSpec*);

struct TrafficSpec {
  std::string source;
  std::optional<int64_t> requests;
  std::optional<Seconds> duration;
  ArrivalSpec arrivals;
  std::optional<LengthSpec> input, output;
  double correlation = 0;
  std::string lengths_of;  // in place of input and output
  std::vector<PrefixSpec> prefixes;
  std::optional<SessionSpec> sessions;
  int64_t block_tokens = kMooncakeBlock;
};
const Fields<TrafficSpec>& FieldsOf(const TrafficSpec*);

// The first fault of values that go not together, or nothing.
struct TrafficFault {
  std::string pointer;  // "/arrivals/burstiness"
  std::string expected;
};
std::optional<TrafficFault> CheckTraffic(const TrafficSpec& spec);

// Tokens of the blocks whose hashes its traces have; 0 where they have none, without prefixes and
// sessions.
int64_t BlockTokensOf(const TrafficSpec& spec);

// The conversations' requests of `duration`, of those the first `requests`. Arrivals are a stream
// of random numbers and each conversation has one of its own: another rate gives the same
// conversations at other times. With spec.lengths_of, lengths are pairs of `lengths`, each as
// likely (of later turns the answer alone). Hashes (BlockTokensOf) are numbered in the order in
// which blocks first occur. REQUIRES: !CheckTraffic(spec); lengths where
// spec.lengths_of. Throws UserError for a time or a number of requests that cannot be held.
RequestTrace Generate(const TrafficSpec& spec, uint64_t seed,
                      const RequestTrace* lengths = nullptr);

// The trace with arrivals of its own, conversations being requests.
RequestTrace WithArrivals(RequestTrace trace, const ArrivalSpec& arrivals, uint64_t seed);

}  // namespace moecast
