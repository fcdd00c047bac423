#include "traces/traffic.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "base/check.h"
#include "base/distributions.h"
#include "base/error.h"
#include "traces/prompt_blocks.h"

namespace moecast {
namespace {

constexpr double kNormal99 = 2.3263478740408408;  // 99th percentile of the standard normal

// Arrivals one after another, in seconds.
class Arrivals {
 public:
  Arrivals(const ArrivalSpec& spec, uint64_t seed)
      : spec_(spec), random_(KeyOf("arrivals", seed)), profile_(spec.profile) {
    double sum = 0;
    for (const double part : profile_) sum += part;
    for (double& part : profile_) part *= static_cast<double>(profile_.size()) / sum;
  }

  double Next() {
    Advance(Gap());
    return now_;
  }

 private:
  double Gap() {
    switch (spec_.process) {
      case ArrivalProcess::kPoisson:
        return Exponential(random_) / spec_.rate;
      case ArrivalProcess::kGamma:
        return std::exp(LogGammaVariable(spec_.burstiness, random_)) /
               (spec_.burstiness * spec_.rate);
      case ArrivalProcess::kWeibull:
        return Weibull(spec_.burstiness, random_) /
               (std::tgamma(1 + 1 / spec_.burstiness) * spec_.rate);
      case ArrivalProcess::kConstant:
        return 1 / spec_.rate;
      case ArrivalProcess::kAtOnce:
        return 0;
    }
    return 0;
  }

  // To where the profile has run on by `gap`.
  void Advance(double gap) {
    if (profile_.empty()) {
      now_ += gap;
      return;
    }
    const double step = spec_.profile_step.value;
    const double cycle = step * static_cast<double>(profile_.size());
    const double cycles = std::floor(gap / cycle);
    now_ += cycles * cycle;
    gap -= cycles * cycle;
    while (true) {
      const double left = step - within_, rate = profile_[part_];
      if (rate > 0 && rate * left >= gap) {
        within_ += gap / rate;
        now_ += gap / rate;
        return;
      }
      gap -= rate * left;
      now_ += left;
      within_ = 0;
      part_ = (part_ + 1) % profile_.size();
    }
  }

  const ArrivalSpec& spec_;
  Random random_;
  std::vector<double> profile_;  // of mean 1
  double now_ = 0, within_ = 0;  // within the part of the profile
  size_t part_ = 0;
};

// As a recorder of this tick has it.
Time Recorded(double seconds, Seconds tick, const std::string& file) {
  if (!(seconds < static_cast<double>(kLastArrivalSeconds)))
    throw UserError({.file = file,
                     .value = "arrivals after 100 days",
                     .expected = "a higher rate, shorter think times or fewer requests"});
  return Time::From(tick.value > 0 ? std::floor(seconds / tick.value) * tick : Seconds(seconds));
}

// The lengths of requests, each draw one pair.
class Lengths {
 public:
  Lengths(const TrafficSpec& spec, const RequestTrace* pairs) : spec_(spec), pairs_(pairs) {}

  struct Pair {
    int64_t input, output;
  };
  Pair First(Random& random) const {
    const auto [a, b] = Normals(random);
    return pairs_ ? Chosen(random) : Pair{QuantileOf(*spec_.input, Inside(a)), Answer(a, b)};
  }
  // What a later turn adds, and its answer.
  Pair Later(const LengthSpec& input, Random& random) const {
    const auto [a, b] = Normals(random);
    return {QuantileOf(input, Inside(a)), pairs_ ? Chosen(random).output : Answer(a, b)};
  }

 private:
  static std::pair<double, double> Normals(Random& random) {
    const double a = random.Normal();
    return {a, random.Normal()};
  }
  static double Inside(double z) { return std::clamp(NormalCdf(z), 0x1.0p-53, 1 - 0x1.0p-53); }
  int64_t Answer(double a, double b) const {
    const double rho = spec_.correlation;
    return QuantileOf(*spec_.output, Inside(rho * a + std::sqrt(1 - rho * rho) * b));
  }
  Pair Chosen(Random& random) const {
    const Request& r = pairs_->requests[random.Below(pairs_->requests.size())];
    return {r.input_tokens, r.output_tokens};
  }

  const TrafficSpec& spec_;
  const RequestTrace* pairs_;
};

// The texts that prompts begin with.
class Prefixes {
 public:
  Prefixes(const std::vector<PrefixSpec>& groups, uint64_t seed) : groups_(groups), seed_(seed) {
    for (const PrefixSpec& g : groups)
      ranks_.emplace_back(static_cast<size_t>(g.count), g.zipf_exponent);
  }

  // Appends a choice of each group, at most `tokens` in all, and returns how many.
  int64_t Begin(PromptBlocks& prompt, int64_t tokens, Random& random) const {
    int64_t begun = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      const bool chosen = random.Uniform() < groups_[g].fraction;
      const size_t rank = ranks_[g].Draw(random);
      if (!chosen) continue;
      const std::string name = "prefix " + std::to_string(g) + " " + std::to_string(rank);
      Random own(KeyOf(name, seed_));
      const int64_t length = QuantileOf(groups_[g].tokens, UniformInside(own));
      const int64_t taken = std::min(length, tokens - begun);
      prompt.Append(own.Next(), taken);
      begun += taken;
    }
    return begun;
  }

 private:
  const std::vector<PrefixSpec>& groups_;
  uint64_t seed_;
  std::vector<Zipf> ranks_;
};

// Requests in the order in which they are drawn, with the hashes of their prompts.
struct Drawn {
  RequestTrace trace;

  void Add(Time arrival, const Lengths::Pair& pair, const PromptBlocks* prompt) {
    const size_t first = trace.hash_ids.size();
    if (prompt) prompt->AppendTo(trace.hash_ids);
    if (trace.hash_ids.size() > UINT32_MAX)
      throw UserError({.file = trace.file,
                       .value = "more than 4294967295 blocks",
                       .expected = "fewer requests or a larger block_tokens"});
    trace.requests.push_back({arrival, pair.input, pair.output, static_cast<uint32_t>(first),
                              static_cast<uint32_t>(trace.hash_ids.size() - first)});
  }
};

// In order of arrival, the first `most`, blocks numbered as they first occur.
RequestTrace InOrder(RequestTrace trace, int64_t most) {
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.arrival < b.arrival; });
  trace = Sliced(trace, {.limit = most});
  std::unordered_map<uint64_t, uint64_t> numbers;
  for (uint64_t& hash : trace.hash_ids)
    hash = numbers.try_emplace(hash, numbers.size()).first->second;
  return trace;
}

}  // namespace

int64_t QuantileOf(const LengthSpec& s, double u) {
  MOECAST_CHECK(u > 0 && u < 1);
  double value = 0;
  switch (s.distribution) {
    case LengthDistribution::kFixed:
      return std::clamp(s.value, s.low, s.high);
    case LengthDistribution::kUniform:
      value = std::floor(static_cast<double>(s.low) + u * static_cast<double>(s.high - s.low + 1));
      break;
    case LengthDistribution::kLogNormal: {
      const double sigma = s.sigma ? *s.sigma : std::log(*s.p99 / *s.p50) / kNormal99;
      const double mu = s.mean ? std::log(*s.mean) - sigma * sigma / 2 : std::log(*s.p50);
      value = std::exp(mu + sigma * NormalQuantile(u));
      break;
    }
    case LengthDistribution::kQuantiles: {
      size_t i = 1;
      while (s.quantiles[i][0] < u) ++i;
      const auto &a = s.quantiles[i - 1], &b = s.quantiles[i];
      value = a[1] + (u - a[0]) / (b[0] - a[0]) * (b[1] - a[1]);
      break;
    }
  }
  value = std::clamp(value, static_cast<double>(s.low), static_cast<double>(s.high));
  return std::llround(value);
}

int64_t BlockTokensOf(const TrafficSpec& spec) {
  return spec.prefixes.empty() && !spec.sessions ? 0 : spec.block_tokens;
}

RequestTrace Generate(const TrafficSpec& spec, uint64_t seed, const RequestTrace* lengths) {
  MOECAST_CHECK(!CheckTraffic(spec) && spec.lengths_of.empty() == !lengths);
  const SessionSpec sessions = spec.sessions.value_or(SessionSpec{});  // of one turn
  const int64_t block_tokens = BlockTokensOf(spec);
  const bool hashes = block_tokens > 0;
  const int64_t most = spec.requests.value_or(INT64_MAX);
  const double end = spec.duration ? spec.duration->value : INFINITY;
  const double think_mu = std::log(sessions.think_time.p50.value);
  const double think_sigma =
      std::log(sessions.think_time.p99 / sessions.think_time.p50) / kNormal99;

  Arrivals arrivals(spec.arrivals, seed);
  const Lengths draw(spec, lengths);
  const Prefixes prefixes(spec.prefixes, seed);
  Random seeds(KeyOf("conversations", seed));
  Drawn drawn;
  drawn.trace.file = "traffic";
  drawn.trace.block_tokens = block_tokens;
  drawn.trace.concurrency = spec.arrivals.concurrency;
  // As many conversations as requests are enough: the first turns alone are that many.
  for (int64_t c = 0; c < most; ++c) {
    double now = arrivals.Next();
    if (!(now < end)) break;
    Random own(seeds.Next());
    PromptBlocks prompt(spec.block_tokens);
    Lengths::Pair pair = draw.First(own);
    int64_t left = QuantileOf(sessions.turns, UniformInside(own));
    if (hashes) {
      const int64_t begun = prefixes.Begin(prompt, pair.input, own);
      prompt.Append(own.Next(), pair.input - begun);
    }
    while (true) {
      drawn.Add(Recorded(now, spec.arrivals.tick, drawn.trace.file), pair,
                hashes ? &prompt : nullptr);
      if (--left == 0) break;
      now += std::exp(think_mu + think_sigma * own.Normal());
      const Lengths::Pair next = draw.Later(sessions.input, own);
      const int64_t input = pair.input + pair.output + next.input;
      if (!(now < end) || input > sessions.longest_input) break;
      prompt.Append(own.Next(), pair.output);
      prompt.Append(own.Next(), next.input);
      pair = {input, next.output};
    }
  }
  return InOrder(std::move(drawn.trace), most);
}

RequestTrace WithArrivals(RequestTrace trace, const ArrivalSpec& spec, uint64_t seed) {
  Arrivals arrivals(spec, seed);
  for (Request& r : trace.requests) r.arrival = Recorded(arrivals.Next(), spec.tick, trace.file);
  trace.timed = true;
  trace.concurrency = spec.concurrency;
  return trace;
}

}  // namespace moecast
