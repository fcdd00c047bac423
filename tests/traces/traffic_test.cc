#include "traces/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/fields.h"
#include "base/json.h"
#include "base/random.h"
#include "traces/traffic_stats.h"

namespace moecast {
namespace {

constexpr double kNormal99 = 2.3263478740408408;

// Of so many requests, all alike.
TrafficSpec Plain(std::optional<int64_t> requests, const ArrivalSpec& arrivals = {}) {
  return {.requests = requests,
          .arrivals = arrivals,
          .input = LengthSpec{.value = 1024},
          .output = LengthSpec{.value = 128}};
}

// Gaps of many arrivals, in seconds.
std::vector<double> GapsOf(const ArrivalSpec& arrivals, int64_t requests) {
  const RequestTrace trace = Generate(Plain(requests, arrivals), 5);
  std::vector<double> gaps;
  Time last;
  for (const Request& r : trace.requests) {
    gaps.push_back((r.arrival - last).seconds().value);
    last = r.arrival;
  }
  return gaps;
}
struct Moments {
  double mean = 0, variance = 0;
};
Moments MomentsOf(const std::vector<double>& x) {
  Moments m;
  for (const double v : x) m.mean += v / static_cast<double>(x.size());
  for (const double v : x)
    m.variance += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
  return m;
}

TEST(ArrivalsTest, GapsHaveTheRateAndTheVariationOfTheirProcess) {
  constexpr int64_t kGaps = 100000;
  constexpr double kRate = 4;
  const double root_of_pi = std::sqrt(3.14159265358979323846);
  const struct {
    ArrivalProcess process;
    double burstiness;
    double cv;  // standard deviation over mean
  } kCases[] = {
      {ArrivalProcess::kPoisson, 0.3, 1},  // burstiness is not its
      {ArrivalProcess::kGamma, 1, 1},
      {ArrivalProcess::kGamma, 0.25, 2},  // 1 / sqrt(shape)
      {ArrivalProcess::kGamma, 4, 0.5},
      {ArrivalProcess::kWeibull, 1, 1},
      // Moments Gamma(1 + k/2): sqrt(pi)/2 and 1, so that cv^2 = 4/pi - 1.
      {ArrivalProcess::kWeibull, 2, std::sqrt(4 - root_of_pi * root_of_pi) / root_of_pi},
      {ArrivalProcess::kWeibull, 0.5, std::sqrt(5.0)},  // Gamma(3) = 2, Gamma(5) = 24
      {ArrivalProcess::kConstant, 1, 0},
  };
  for (const auto& c : kCases) {
    const Moments m =
        MomentsOf(GapsOf({.process = c.process, .rate = kRate, .burstiness = c.burstiness}, kGaps));
    const std::string what = std::string(NameOf(c.process)) + " " + std::to_string(c.burstiness);
    EXPECT_NEAR(m.mean * kRate, 1, 5 * c.cv / std::sqrt(kGaps) + 1e-9) << what;
    EXPECT_NEAR(std::sqrt(m.variance) * kRate, c.cv, 0.06 * c.cv + 1e-9) << what;
  }
}

TEST(ArrivalsTest, AtOnceIsAtZero) {
  const RequestTrace trace = Generate(Plain(7, {.process = ArrivalProcess::kAtOnce}), 1);
  ASSERT_EQ(trace.requests.size(), 7u);
  for (const Request& r : trace.requests) EXPECT_EQ(r.arrival, Time{});
}

TEST(ArrivalsTest, AProfileMovesArrivalsAndKeepsTheMeanRate) {
  // Constant gaps of 1 / 2 s in a time that stands still, runs at 0.5 and at 2.5, mean 1, in steps
  // of 10 s: 0, 10 and 50 arrivals, then again.
  TrafficSpec spec = Plain({}, {.process = ArrivalProcess::kConstant,
                                .rate = 2,
                                .profile = {0, 1, 5},
                                .profile_step = Seconds(10)});
  spec.duration = Seconds(60);
  const RequestTrace trace = Generate(spec, 1);
  std::vector<int> counts(6, 0);
  for (const Request& r : trace.requests) {
    // The last of a step arrives on its end.
    const int64_t ps = r.arrival.ps - 1000;
    ++counts.at(static_cast<size_t>(ps / 10'000'000'000'000));
  }
  EXPECT_EQ(counts, (std::vector<int>{0, 10, 50, 0, 10, 49}));
  EXPECT_NEAR(trace.requests[0].arrival.seconds().value, 11, 1e-9);
  EXPECT_NEAR(trace.requests[10].arrival.seconds().value, 20.2, 1e-9);
  EXPECT_NEAR(trace.requests[60].arrival.seconds().value, 41, 1e-9);
}

TEST(ArrivalsTest, AProfileOfEqualPartsChangesNothing) {
  const TrafficSpec plain = Plain(500, {.rate = 0.01});
  TrafficSpec profiled = plain;
  profiled.arrivals.profile = {3, 3, 3, 3};
  profiled.arrivals.profile_step = Seconds(1);
  const RequestTrace a = Generate(plain, 9), b = Generate(profiled, 9);
  for (size_t i = 0; i < 500; ++i)
    EXPECT_NEAR(a.requests[i].arrival.seconds().value, b.requests[i].arrival.seconds().value, 1e-6);
}

TEST(ArrivalsTest, TicksRoundDown) {
  TrafficSpec spec = Plain(300);
  const RequestTrace exact = Generate(spec, 3);
  spec.arrivals.tick = Seconds(3);
  const RequestTrace ticks = Generate(spec, 3);
  for (size_t i = 0; i < 300; ++i)
    EXPECT_EQ(ticks.requests[i].arrival.ps,
              exact.requests[i].arrival.ps / 3'000'000'000'000 * 3'000'000'000'000);
}

// Mean and percentiles of many draws at even probabilities.
LengthStats Drawn(const LengthSpec& spec) {
  RequestTrace trace{.file = "t"};
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i)
    trace.requests.push_back({{}, QuantileOf(spec, (i + 0.5) / kDraws), 1});
  return StatsOf(trace).input;
}

TEST(LengthsTest, DistributionsHaveTheirClosedFormMoments) {
  using D = LengthDistribution;
  EXPECT_EQ(Drawn({.value = 77}).mean, 77);
  EXPECT_EQ(Drawn({.value = 77}).max, 77);
  const LengthStats uniform = Drawn({.distribution = D::kUniform, .low = 11, .high = 20});
  EXPECT_NEAR(uniform.mean, 15.5, 1e-9);
  EXPECT_EQ(uniform.max, 20);
  EXPECT_EQ(QuantileOf({.distribution = D::kUniform, .low = 11, .high = 20}, 0.0999), 11);
  EXPECT_EQ(QuantileOf({.distribution = D::kUniform, .low = 11, .high = 20}, 0.1001), 12);
  // The median of a lognormal distribution is mean exp(-sigma^2 / 2).
  const LengthStats moments = Drawn({.distribution = D::kLogNormal, .mean = 1000.0, .sigma = 0.8});
  EXPECT_NEAR(moments.mean, 1000, 1);
  EXPECT_NEAR(moments.median, 1000 * std::exp(-0.32), 0.6);
  EXPECT_NEAR(moments.p99, 1000 * std::exp(-0.32 + 0.8 * kNormal99), 5);
  const LengthStats quantiles = Drawn({.distribution = D::kLogNormal, .p50 = 300.0, .p99 = 4000.0});
  EXPECT_NEAR(quantiles.median, 300, 0.6);
  EXPECT_NEAR(quantiles.p99, 4000, 20);
  // Trapezoids: 0.5 (10 + 20) / 2 + 0.4 (20 + 100) / 2 + 0.1 (100 + 100) / 2.
  const LengthStats table = Drawn(
      {.distribution = D::kQuantiles, .quantiles = {{0, 10}, {0.5, 20}, {0.9, 100}, {1, 100}}});
  EXPECT_NEAR(table.mean, 7.5 + 24 + 10, 0.05);
  EXPECT_EQ(table.median, 20);
  EXPECT_EQ(table.p99, 100);
}

TEST(LengthsTest, LowAndHighCutEveryDistribution) {
  using D = LengthDistribution;
  const LengthSpec cut{
      .distribution = D::kLogNormal, .low = 250, .high = 400, .p50 = 300.0, .p99 = 4000.0};
  EXPECT_EQ(QuantileOf(cut, 0.01), 250);
  EXPECT_EQ(QuantileOf(cut, 0.5), 300);
  EXPECT_EQ(QuantileOf(cut, 0.99), 400);
  EXPECT_EQ(QuantileOf({.value = 5, .low = 7}, 0.5), 7);
}

TEST(LengthsTest, TheCopulaGivesSpearmansCorrelation) {
  for (const double rho : {-1.0, -0.5, 0.0, 0.3, 0.8, 1.0}) {
    TrafficSpec spec = Plain(20000);
    spec.correlation = rho;
    spec.input =
        LengthSpec{.distribution = LengthDistribution::kLogNormal, .mean = 1e5, .sigma = 1.0};
    spec.output =
        LengthSpec{.distribution = LengthDistribution::kUniform, .low = 1, .high = 100000};
    // Of a Gaussian copula 6 / pi asin(rho / 2).
    EXPECT_NEAR(*StatsOf(Generate(spec, 2)).correlation, 6 / 3.14159265358979 * std::asin(rho / 2),
                0.02)
        << rho;
  }
}

TEST(LengthsTest, PairsOfATraceStayTogether) {
  RequestTrace lengths{.file = "t"};
  for (int64_t i = 1; i <= 20; ++i) lengths.requests.push_back({{}, 100 * i, i});
  const RequestTrace trace = Generate({.requests = 4000, .lengths_of = "t"}, 3, &lengths);
  std::vector<double> counts(21, 0.0);
  for (const Request& r : trace.requests) {
    EXPECT_EQ(r.input_tokens, 100 * r.output_tokens);
    ++counts.at(static_cast<size_t>(r.output_tokens));
  }
  for (int i = 1; i <= 20; ++i) EXPECT_NEAR(counts[i], 200, 5 * std::sqrt(200.0)) << i;
}

TEST(PrefixesTest, SharesAndPopularitiesAreThoseAsked) {
  // A text of 100 tokens for all, then for a half one of two of 200, 3 to 1.
  TrafficSpec spec = Plain(10000);
  spec.input->value = 1000;
  spec.block_tokens = 100;
  spec.prefixes = {
      {.tokens = {.value = 100}},
      {.fraction = 0.5, .count = 2, .zipf_exponent = std::log2(3.0), .tokens = {.value = 200}}};
  const RequestTrace trace = Generate(spec, 4);
  std::map<uint64_t, int> first, second;
  for (const Request& r : trace.requests) {
    ASSERT_EQ(r.blocks, 10u);
    ++first[trace.BlocksOf(r)[0]];
    ++second[trace.BlocksOf(r)[2]];  // of tokens 200 to 300
  }
  EXPECT_EQ(first.size(), 1u);
  std::vector<int> shared;
  int alone = 0;
  for (const auto& [hash, count] : second) {
    if (count > 1) shared.push_back(count);
    alone += count == 1;
  }
  std::sort(shared.begin(), shared.end());
  ASSERT_EQ(shared.size(), 2u);
  EXPECT_NEAR(alone, 5000, 250);
  EXPECT_NEAR(shared[0], 1250, 160);
  EXPECT_NEAR(shared[1], 3750, 220);
  // 10,000 first blocks but one, and two blocks more of what is shared, but the first of each.
  EXPECT_NEAR(StatsOf(trace).prefixes->hit_rate,
              (9999 * 100 + (shared[0] + shared[1] - 2) * 200) / 1e7, 1e-12);
}

TEST(PrefixesTest, APrefixIsCutAtThePromptsEnd) {
  TrafficSpec spec = Plain(50);
  spec.input->value = 150;
  spec.block_tokens = 100;
  spec.prefixes = {{.tokens = {.value = 1000}}};
  const RequestTrace trace = Generate(spec, 4);
  EXPECT_EQ(StatsOf(trace).prefixes->distinct_blocks, 2);
  EXPECT_EQ(trace.requests[7].input_tokens, 150);
}

TEST(SessionsTest, ATurnCarriesOnWhatWasSaid) {
  TrafficSpec spec = Plain(4, {.process = ArrivalProcess::kConstant, .rate = 1e-3});
  spec.input->value = 250;
  spec.output->value = 30;
  spec.block_tokens = 100;
  spec.sessions = SessionSpec{.turns = {.value = 4},
                              .think_time = {.p50 = Seconds(10), .p99 = Seconds(10)},
                              .input = {.value = 50}};
  const RequestTrace trace = Generate(spec, 1);
  ASSERT_EQ(trace.requests.size(), 4u);
  for (int64_t turn = 0; turn < 4; ++turn) {
    const Request& r = trace.requests[static_cast<size_t>(turn)];
    EXPECT_NEAR(r.arrival.seconds().value, 1000 + 10 * static_cast<double>(turn), 1e-6);
    EXPECT_EQ(r.input_tokens, 250 + 80 * turn);
    // Blocks are numbered as they occur; the last one of 250 is not full and was never met again.
  }
  EXPECT_EQ(trace.hash_ids, (std::vector<uint64_t>{0, 1, 2,           // 250
                                                   0, 1, 3, 4,        // 330
                                                   0, 1, 3, 5, 6,     // 410
                                                   0, 1, 3, 5, 7}));  // 490
  spec.sessions->longest_input = 409;
  EXPECT_EQ(Generate(spec, 1).requests[2].input_tokens, 250);
}

TEST(SessionsTest, ThinkTimesAreLognormal) {
  // So far apart that a conversation ends before the next one begins.
  TrafficSpec spec = Plain(1600, {.process = ArrivalProcess::kConstant, .rate = 5e-4});
  spec.sessions =
      SessionSpec{.turns = {.value = 2}, .think_time = {.p50 = Seconds(30), .p99 = Seconds(300)}};
  const RequestTrace trace = Generate(spec, 1);
  std::vector<double> logs;
  for (size_t i = 0; i + 1 < trace.requests.size(); i += 2)
    logs.push_back(
        std::log((trace.requests[i + 1].arrival - trace.requests[i].arrival).seconds().value));
  const double sigma = std::log(10.0) / kNormal99;
  const Moments m = MomentsOf(logs);
  EXPECT_NEAR(m.mean, std::log(30.0), 5 * sigma / std::sqrt(800));
  EXPECT_NEAR(std::sqrt(m.variance), sigma, 5 * sigma / std::sqrt(1600));
}

TEST(SessionsTest, RequestsAreTheFirstOfTheDuration) {
  TrafficSpec spec = Plain({}, {.rate = 2});
  spec.duration = Seconds(500);
  spec.sessions =
      SessionSpec{.turns = {.distribution = LengthDistribution::kUniform, .low = 1, .high = 5},
                  .think_time = {.p50 = Seconds(20), .p99 = Seconds(200)}};
  const RequestTrace all = Generate(spec, 8);
  EXPECT_GT(all.requests.size(), 2000u);
  for (const Request& r : all.requests) EXPECT_LT(r.arrival.seconds().value, 500);
  spec.requests = 700;
  const RequestTrace few = Generate(spec, 8);
  ASSERT_EQ(few.requests.size(), 700u);
  for (size_t i = 0; i < 700; ++i) {
    EXPECT_EQ(few.requests[i].arrival, all.requests[i].arrival);
    EXPECT_EQ(few.requests[i].input_tokens, all.requests[i].input_tokens);
  }
}

TEST(GenerateTest, SeedsAndNothingElseChangeIt) {
  TrafficSpec spec = Plain(200);
  spec.input =
      LengthSpec{.distribution = LengthDistribution::kLogNormal, .mean = 1000.0, .sigma = 1.0};
  spec.prefixes = {{.count = 5, .tokens = {.value = 512}}};
  const RequestTrace a = Generate(spec, 1);
  EXPECT_EQ(a.requests, Generate(spec, 1).requests);
  EXPECT_EQ(a.hash_ids, Generate(spec, 1).hash_ids);
  EXPECT_NE(a.requests, Generate(spec, 2).requests);
  // Another rate moves the same requests.
  spec.arrivals.rate = 4;
  const RequestTrace fast = Generate(spec, 1);
  EXPECT_EQ(fast.hash_ids, a.hash_ids);
  for (size_t i = 0; i < 200; ++i)
    EXPECT_NEAR(static_cast<double>(fast.requests[i].arrival.ps) * 4,
                static_cast<double>(a.requests[i].arrival.ps), 4);
}

TEST(GenerateTest, AnotherRateGivesTheSameConversations) {
  TrafficSpec spec = Plain({}, {.process = ArrivalProcess::kConstant, .rate = 1});
  spec.duration = Seconds(100);
  spec.input = LengthSpec{.distribution = LengthDistribution::kUniform, .low = 1, .high = 1000000};
  spec.sessions =
      SessionSpec{.turns = {.value = 3}, .think_time = {.p50 = Seconds(40), .p99 = Seconds(90)}};
  // By what the first turns' lengths are, which differ.
  const auto lengths = [&] {
    std::set<int64_t> inputs;
    for (const Request& r : Generate(spec, 6).requests) inputs.insert(r.input_tokens);
    return inputs;
  };
  const std::set<int64_t> slow = lengths();
  spec.arrivals.rate = 2;
  const std::set<int64_t> fast = lengths();
  EXPECT_GT(fast.size(), slow.size());
  // The slow ones' last turns may be cut earlier, not others.
  for (const int64_t input : slow) EXPECT_TRUE(fast.contains(input)) << input;
}

TEST(GenerateTest, ArrivalsOfTheirOwnKeepLengthsAndHashes) {
  TrafficSpec spec = Plain(100);
  spec.prefixes = {{.tokens = {.value = 512}}};
  RequestTrace trace = Generate(spec, 1);
  trace.timed = false;
  const RequestTrace timed =
      WithArrivals(trace, {.process = ArrivalProcess::kConstant, .rate = 10}, 1);
  EXPECT_TRUE(timed.timed);
  EXPECT_EQ(timed.hash_ids, trace.hash_ids);
  EXPECT_NEAR(timed.requests[99].arrival.seconds().value, 10, 1e-9);
}

LengthSpec RandomLengths(Random& random, int64_t most) {
  const auto below = [&](int64_t n) { return 1 + static_cast<int64_t>(random.Below(n)); };
  const auto distribution = static_cast<LengthDistribution>(random.Below(4));
  LengthSpec s{
      .distribution = distribution, .value = below(most), .low = below(most / 2), .high = most};
  if (distribution == LengthDistribution::kLogNormal) {
    s.p50 = static_cast<double>(below(most));
    s.p99 = *s.p50 * (1 + 5 * random.Uniform());
  }
  if (distribution == LengthDistribution::kQuantiles) {
    const double a = static_cast<double>(below(most)), b = a + static_cast<double>(below(most));
    s.quantiles = {{0, a}, {random.Uniform() * 0.8 + 0.1, b}, {1, b * 2}};
  }
  return s;
}

TEST(GenerateTest, RandomDescriptionsGiveTracesInOrderThatReadAgain) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    TrafficSpec spec = Plain(1 + static_cast<int64_t>(random.Below(300)));
    if (random.Below(3) == 0) spec.duration = Seconds(20 * random.Uniform() + 1);
    spec.arrivals.process = static_cast<ArrivalProcess>(random.Below(5));
    spec.arrivals.rate = 1 + 50 * random.Uniform();
    spec.arrivals.burstiness = 0.2 + random.Uniform();
    if (random.Below(2)) spec.arrivals.profile = {random.Uniform(), 0, 1};
    if (random.Below(3) == 0) spec.arrivals.tick = Seconds(0.5);
    spec.input = RandomLengths(random, 3000);
    spec.output = RandomLengths(random, 400);
    spec.correlation = 2 * random.Uniform() - 1;
    for (uint64_t g = random.Below(3); g > 0; --g)
      spec.prefixes.push_back({.fraction = random.Uniform(),
                               .count = 1 + static_cast<int64_t>(random.Below(9)),
                               .zipf_exponent = 2 * random.Uniform(),
                               .tokens = RandomLengths(random, 2000)});
    if (random.Below(2))
      spec.sessions =
          SessionSpec{.turns = RandomLengths(random, 6),
                      .think_time = {.p50 = Seconds(1), .p99 = Seconds(1 + random.Uniform())},
                      .input = RandomLengths(random, 100),
                      .longest_input = 5000};
    ASSERT_FALSE(CheckTraffic(spec)) << seed << " " << CheckTraffic(spec)->pointer;
    // The description survives its own file.
    const Fields<TrafficSpec>& fields = FieldsOf(static_cast<const TrafficSpec*>(nullptr));
    const Json printed = fields.Print(spec);
    const auto document = ParseJson(DumpJson(printed), "spec");
    EXPECT_EQ(DumpJson(fields.Print(fields.Parse(JsonCursor(document)))), DumpJson(printed));

    const RequestTrace trace = Generate(spec, seed);
    if (trace.requests.empty()) continue;  // of a short duration
    EXPECT_LE(static_cast<int64_t>(trace.requests.size()), *spec.requests);
    if (!spec.duration) {
      EXPECT_EQ(static_cast<int64_t>(trace.requests.size()), *spec.requests);
    }
    Time last;
    const bool hashes = !spec.prefixes.empty() || spec.sessions;
    size_t next_block = 0;
    std::set<uint64_t> known;
    for (const Request& r : trace.requests) {
      EXPECT_GE(r.arrival, last);
      last = r.arrival;
      EXPECT_GE(r.input_tokens, 1);
      EXPECT_GE(r.output_tokens, 1);
      EXPECT_EQ(r.first_block, next_block);
      EXPECT_EQ(r.blocks, hashes ? (r.input_tokens + 511) / 512 : 0);
      next_block += r.blocks;
      // A new block has the next number, and after a new one there are only new ones.
      bool fresh = false;
      for (const uint64_t hash : trace.BlocksOf(r)) {
        const bool seen = known.contains(hash);
        EXPECT_FALSE(fresh && seen);
        if (!seen) {
          EXPECT_EQ(hash, known.size());
        }
        fresh = !seen;
        known.insert(hash);
      }
    }
    EXPECT_EQ(next_block, trace.hash_ids.size());
    const RequestTrace again = ReadRequests(WriteRequests(trace, FormatNamed("mooncake")), "again");
    EXPECT_EQ(again.hash_ids, trace.hash_ids);
    EXPECT_EQ(StatsOf(again).input.mean, StatsOf(trace).input.mean);
  }
}

}  // namespace
}  // namespace moecast
