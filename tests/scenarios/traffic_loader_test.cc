#include "scenarios/traffic_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "scenarios/builtin.h"
#include "tests/message_of.h"
#include "traces/traffic_stats.h"

namespace moecast {
namespace {

// How far a drawn trace may be from the one that it is fitted to.
struct Fit {
  const char* name;
  const char* file;  // of the recorded trace
  double requests, rate, busiest, dispersion_60s;
  double input_mean, input_median, input_p90, output_mean, output_median, output_p90;
  double hit_rate;
};
// The recorded traces' own figures, as `moecast traffic stats` gives them.
constexpr Fit kFits[] = {
    {"azure-conv-like", "AzureLLMInferenceTrace_conv.csv", 19366, 5.530, 1.358, 16.1, 1154.7, 1020,
     2734, 211.1, 129, 424, 0},
    {"mooncake-conversation-like", "mooncake_conversation_trace.jsonl", 12031, 3.401, 1.111, 2.89,
     12035, 6909, 27367, 342.6, 350, 597, 0.3736},
};

double Busiest(const ArrivalStats& arrivals) {
  return *std::max_element(arrivals.rates.begin(), arrivals.rates.end()) / arrivals.rate;
}

TEST(TrafficLoaderTest, BuiltInTrafficHasTheFiguresOfTheTracesItIsFittedTo) {
  for (const Fit& fit : kFits) {
    for (const uint64_t seed : {1, 2, 3, 4, 5}) {
      const std::string what = std::string(fit.name) + ", seed " + std::to_string(seed);
      const auto near = [&](double value, double of, double part) {
        EXPECT_NEAR(value / of, 1, part) << what << ": " << value << " of " << of;
      };
      const TrafficStats s = StatsOf(LoadTraffic(fit.name, seed));
      near(static_cast<double>(s.requests), fit.requests, 0.05);
      near(s.arrivals->rate, fit.rate, 0.05);
      near(Busiest(*s.arrivals), fit.busiest, 0.1);
      near(*s.arrivals->dispersion_60s, fit.dispersion_60s, 0.5);
      near(s.input.mean, fit.input_mean, 0.1);
      near(s.input.median, fit.input_median, 0.07);
      near(s.input.p90, fit.input_p90, 0.12);
      near(s.output.mean, fit.output_mean, 0.03);
      near(s.output.median, fit.output_median, 0.05);
      near(s.output.p90, fit.output_p90, 0.03);
      EXPECT_NEAR(*s.correlation, 0.072, 0.05) << what;
      EXPECT_EQ(s.prefixes.has_value(), fit.hit_rate > 0);
      if (s.prefixes) near(s.prefixes->hit_rate, fit.hit_rate, 0.1);
    }
  }
}

// With MOECAST_TRACES set to the folder that holds the recorded traces.
TEST(TrafficLoaderTest, BuiltInTrafficIsLikeTheRecordedTraces) {
  const char* folder = std::getenv("MOECAST_TRACES");
  if (!folder) GTEST_SKIP() << "MOECAST_TRACES names no folder of recorded traces";
  for (const Fit& fit : kFits) {
    const std::string path = std::string(folder) + "/" + fit.file;
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not there";
    const RequestTrace recorded = LoadTraffic(path, 1), drawn = LoadTraffic(fit.name, 1);
    const TrafficStats s = StatsOf(recorded);
    EXPECT_EQ(static_cast<double>(s.requests), fit.requests);
    EXPECT_NEAR(s.arrivals->rate, fit.rate, 6e-4);
    EXPECT_NEAR(Busiest(*s.arrivals), fit.busiest, 6e-4);
    EXPECT_NEAR(*s.arrivals->dispersion_60s, fit.dispersion_60s, 0.06);
    EXPECT_NEAR(s.input.mean, fit.input_mean, 0.6);
    EXPECT_NEAR(s.output.p90, fit.output_p90, 0.6);
    EXPECT_NEAR(s.prefixes ? s.prefixes->hit_rate : 0, fit.hit_rate, 6e-5);
    EXPECT_LT(LargestDifference(InputsOf(recorded), InputsOf(drawn)), 0.03);
    EXPECT_LT(LargestDifference(OutputsOf(recorded), OutputsOf(drawn)), 0.02);
  }
}

TEST(TrafficLoaderTest, EveryBuiltInDescriptionNamesItsSource) {
  for (const std::string_view name : BuiltinNames("traffic")) {
    const std::string file = "traffic/" + std::string(name) + ".json";
    EXPECT_NE(TrafficFromText(*BuiltinText(file), file).source, "") << name;
  }
}

TEST(TrafficLoaderTest, AFileIsADescriptionOrATrace) {
  const std::string description = testing::TempDir() + "traffic.json",
                    recorded = testing::TempDir() + "recorded.csv";
  WriteFile(description, "\n {\"requests\": 3, \"input\": {\"value\": 9}, \"output\": {}}");
  WriteFile(recorded, "num_prefill_tokens,num_decode_tokens\n100,20\n300,40\n");
  EXPECT_EQ(LoadTraffic(description, 1).requests.size(), 3u);
  EXPECT_EQ(LoadTraffic(description, 1).requests[0].input_tokens, 9);
  const std::vector<std::string> sets = {"requests=5", "lengths_of=" + recorded, "input=null",
                                         "output=null", "arrivals/process=at-once"};
  const RequestTrace drawn = LoadTraffic(description, 1, sets);
  ASSERT_EQ(drawn.requests.size(), 5u);
  for (const Request& r : drawn.requests)
    EXPECT_EQ(r.input_tokens, 5 * r.output_tokens + 100 * (r.output_tokens == 40));
  EXPECT_EQ(LoadTraffic(recorded, 1).requests.size(), 2u);
  EXPECT_EQ(MessageOf([&] { LoadTraffic(recorded, 1, sets); }),
            "--set: found \"requests=5\", expected a description of traffic; " + recorded +
                " is a trace");
  std::filesystem::remove(description);
  std::filesystem::remove(recorded);
}

// Traffic without hashes goes into any format.
TEST(TrafficLoaderTest, WhatAFormatCannotHoldIsNotDrawn) {
  const std::vector<std::string> small = {"block_tokens=16", "duration=10s"};
  const auto load = [&](const char* name, const RequestFormat& to) {
    return MessageOf([&] { LoadTraffic(name, 1, small, &to); });
  };
  EXPECT_EQ(load("mooncake-conversation-like", FormatNamed("mooncake")),
            "mooncake-conversation-like: found hashes of 16 tokens, expected 512, as the format "
            "mooncake has it");
  EXPECT_EQ(load("mooncake-conversation-like", FormatNamed("vidur")), "no UserError");
  EXPECT_EQ(load("azure-conv-like", FormatNamed("mooncake")), "no UserError");
}

TEST(TrafficLoaderTest, FaultsOfADescriptionNameTheirPlace) {
  const auto says = [](const std::string& text) {
    return MessageOf([&] { TrafficFromText(text, "t.json"); });
  };
  EXPECT_EQ(says("{\"requests\": 5, \"inputs\": {}}"),
            "t.json: /inputs: found an unknown field, expected one of source, requests, duration, "
            "arrivals, "
            "input, output, correlation, lengths_of, prefixes, sessions, block_tokens (did you "
            "mean \"input\"?)");
  EXPECT_NE(says("{\"requests\": 5, \"arrivals\": {\"rate\": 0}}").find("t.json: /arrivals/rate: "),
            std::string::npos);
  EXPECT_NE(says("{\"duration\": 5}").find("t.json: /duration: found 5, expected a text with a"),
            std::string::npos);
  EXPECT_EQ(says("{}"), "t.json: /: found an empty object, expected requests, duration or both");
  EXPECT_NE(says("{\"requests\": 5, \"output\": {}, \"input\": {\"distribution\": \"quantiles\", "
                 "\"quantiles\": "
                 "[[0, 5], [1, 4]]}}")
                .find("t.json: /input/quantiles/1/1: found 4, expected a value not below the one "
                      "before"),
            std::string::npos);
  EXPECT_EQ(
      MessageOf([] { LoadTraffic("azure-conv-lik", 1); }),
      "traffic: found \"azure-conv-lik\", expected the path of a file or one of azure-conv-like, "
      "mooncake-conversation-like (did you mean \"azure-conv-like\"?)");
}

}  // namespace
}  // namespace moecast
