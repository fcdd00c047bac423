// What of the fields of traffic goes not together.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "traces/traffic.h"

namespace moecast {
namespace {

TEST(CheckTrafficTest, FaultsNameTheirField) {
  using D = LengthDistribution;
  const auto fault = [](const std::function<void(TrafficSpec&)>& change) {
    TrafficSpec spec{.requests = 10, .input = LengthSpec{}, .output = LengthSpec{}};
    change(spec);
    const auto f = CheckTraffic(spec);
    return f ? f->pointer + ": " + f->expected : "none";
  };
  EXPECT_EQ(fault([](TrafficSpec&) {}), "none");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.input.reset(); }),
            "/input: a length, where there is no lengths_of");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.output.reset(); }),
            "/output: a length, where there is no lengths_of");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.lengths_of = "t"; }),
            "/lengths_of: none beside input, output and correlation");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.requests.reset(); }), ": requests, duration or both");
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.requests.reset();
              s.duration = Seconds(1);
              s.arrivals.process = ArrivalProcess::kAtOnce;
            }),
            "/requests: how many, where they arrive at once");
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.requests.reset();
              s.duration = Seconds(1e6);
              s.arrivals.rate = 1000;
            }),
            "/duration: at most 1e8 requests, or `requests`");
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.arrivals.profile = {0, 0};
            }),
            "/arrivals/profile: some number above 0");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.input = LengthSpec{.low = 9, .high = 8}; }),
            "/input/low: at most high, 8");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.output = LengthSpec{.distribution = D::kUniform}; }),
            "/output/high: the largest value of a uniform distribution");
  const char* both = "/input: of a lognormal distribution mean and sigma, or p50 and p99";
  EXPECT_EQ(fault([](TrafficSpec& s) { s.input = LengthSpec{.distribution = D::kLogNormal}; }),
            both);
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.input = LengthSpec{.distribution = D::kLogNormal, .mean = 3.0, .p50 = 2.0};
            }),
            both);
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.input =
                  LengthSpec{.distribution = D::kLogNormal, .mean = 3.0, .sigma = 1.0, .p99 = 2.0};
            }),
            both);
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.input = LengthSpec{.distribution = D::kLogNormal, .p50 = 3.0, .p99 = 2.0};
            }),
            "/input/p99: not below p50");
  const auto table = [&](std::vector<std::vector<double>> quantiles) {
    return fault([&](TrafficSpec& s) {
      s.prefixes = {{}, {.tokens = {.distribution = D::kQuantiles, .quantiles = quantiles}}};
    });
  };
  EXPECT_EQ(table({}), "/prefixes/1/tokens/quantiles: pairs from [0, ...] to [1, ...]");
  EXPECT_EQ(table({{0, 1, 2}, {1, 2}}),
            "/prefixes/1/tokens/quantiles/0: a probability and a value");
  EXPECT_EQ(table({{0.1, 1}, {1, 2}}), "/prefixes/1/tokens/quantiles/0/0: 0 first");
  EXPECT_EQ(table({{0, 1}, {0.9, 2}}), "/prefixes/1/tokens/quantiles/1/0: 1 last");
  EXPECT_EQ(table({{0, 1}, {0, 1}, {1, 2}}),
            "/prefixes/1/tokens/quantiles/1/0: a probability above the one before");
  EXPECT_EQ(table({{0, 3}, {1, 2}}),
            "/prefixes/1/tokens/quantiles/1/1: a value not below the one before");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.sessions = SessionSpec{.turns = {.value = 1001}}; }),
            "/sessions/turns/high: at most 1000 turns");
  EXPECT_EQ(fault([](TrafficSpec& s) { s.sessions = SessionSpec{.input = {.low = 3, .high = 2}}; }),
            "/sessions/input/low: at most high, 2");
  EXPECT_EQ(fault([](TrafficSpec& s) {
              s.sessions = SessionSpec{.think_time = {.p50 = Seconds(2), .p99 = Seconds(1)}};
            }),
            "/sessions/think_time/p99: not below p50");
}

}  // namespace
}  // namespace moecast
