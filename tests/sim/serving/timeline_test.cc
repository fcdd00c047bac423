#include "sim/serving/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "scenarios/serving_scenario.h"
#include "sim/serving/metrics.h"
#include "sim/serving/prepare.h"
#include "traces/chrome_trace.h"

namespace moecast {
namespace {

struct Drawn {
  explicit Drawn(const std::string& scenario, const std::vector<std::string>& sets)
      : run(ServingScenario::Load(scenario, sets, 1).run) {
    ServingCosts costs(run);
    outcome = Simulate(run, costs, {}, {}, true);
    timeline = TimelineOf(run, outcome);
  }
  // Summed over spans of these names.
  Time Spent(const std::vector<std::string>& names) const {
    Time sum{};
    for (const Timeline::Span& span : timeline.spans)
      if (std::find(names.begin(), names.end(), timeline.names[span.name]) != names.end())
        sum = sum + (span.end - span.start);
    return sum;
  }
  double Counted(const std::string& name) const {
    double sum = 0;
    for (const Timeline::Counter& counter : timeline.counters)
      if (timeline.names[counter.name] == name)
        for (const auto& sample : counter.samples) sum += sample.value;
    return sum;
  }

  ServingRun run;
  ServingOutcome outcome;
  Timeline timeline;
};

void ExpectNothingLeft(const Drawn& d) {
  int states = 0;
  for (const Timeline::Counter& counter : d.timeline.counters) {
    const std::string& name = d.timeline.names[counter.name];
    if (name.ends_with("of the iteration")) continue;
    ++states;
    EXPECT_EQ(counter.samples.back().value, 0) << name << " of process " << counter.process;
  }
  EXPECT_EQ(states, 3 * (static_cast<int>(d.timeline.processes.size()) - 1));
  const ServingSample& last = d.outcome.series.back();
  EXPECT_EQ(last.waiting + last.running + last.kv_blocks, 0);
}

// What is drawn is what was counted: the replicas' time, tokens in and out, and each request from
// its arrival to its end, without a gap.
TEST(ServingTimelineTest, SpansAndCountersSumToWhatTheRunCounted) {
  const Drawn d("deepseek-v2-azure-conv-like", {"load/requests=200"});
  double iterations = 0;
  for (const IterationSpan& i : d.outcome.records[0].iterations)
    iterations += (i.end - i.start).seconds().value;
  EXPECT_NEAR(iterations, d.outcome.counts.total().value, 1e-6);
  EXPECT_NEAR(d.Spent({"engine overhead"}).seconds().value, d.outcome.counts.overhead.value, 1e-6);

  double input = 0, decoded = 0;
  Time requests{};
  for (size_t i = 0; i < d.outcome.requests.size(); ++i) {
    input += static_cast<double>(d.run.load.requests[i].input_tokens);
    decoded += static_cast<double>(d.run.load.requests[i].output_tokens - 1);
    const RequestOutcome& r = d.outcome.requests[i];
    EXPECT_LE(r.arrival, r.started);
    EXPECT_LT(r.started, r.first_token);
    requests = requests + (r.end - r.arrival);
  }
  ASSERT_EQ(d.outcome.counts.preemptions, 0);  // what is computed again would count twice
  EXPECT_EQ(d.Counted("prompt tokens of the iteration"), input);
  EXPECT_EQ(d.Counted("decodes of the iteration"), decoded);

  // Names of iterations and of the parts of requests are the same two words.
  Time parts{};
  const auto last = static_cast<int32_t>(d.timeline.processes.size()) - 1;
  for (const Timeline::Span& span : d.timeline.spans)
    if (d.timeline.tracks[static_cast<size_t>(span.track)].process == last)
      parts = parts + (span.end - span.start);
  EXPECT_EQ(parts, requests * 2);
  // At the end nothing waits, runs or is stored.
  ExpectNothingLeft(d);
  EXPECT_GT(d.Counted("KV cache"), 0);
  // Aborts where spans of a track overlap.
  EXPECT_NE(WriteChromeTrace(d.timeline).find("request 199"), std::string::npos);
}

// As many lanes as requests are in the system at once, and no more.
TEST(ServingTimelineTest, LanesAreUsedAgain) {
  const Drawn d("deepseek-v2-azure-conv-like", {"load/requests=200", "load/concurrency=7"});
  std::map<int32_t, int> tracks;
  for (const Timeline::Track& track : d.timeline.tracks) ++tracks[track.process];
  EXPECT_EQ(tracks[0], 1);
  EXPECT_EQ(tracks[1], 7);
}

TEST(ServingTimelineTest, PoolsAreNamedAndEachHasItsOwnWork) {
  const Drawn d("deepseek-v2-disaggregated", {"load/requests=50"});
  const auto& processes = d.timeline.processes;
  ASSERT_GE(processes.size(), 3u);
  EXPECT_EQ(processes.front().name, "replica 0, decodes");
  EXPECT_EQ(processes[processes.size() - 2].name.substr(9), ", prefills");
  EXPECT_EQ(processes.back().name, "requests");
  // Also where caches were read after the last iteration of the replica that had them.
  ExpectNothingLeft(d);
  for (size_t r = 0; r < d.outcome.records.size(); ++r)
    for (const IterationSpan& i : d.outcome.records[r].iterations) {
      const bool decodes = r < static_cast<size_t>(d.run.deployment.replicas);
      EXPECT_EQ(decodes ? i.prompt_tokens : i.decodes, 0);
    }
}

// One at a time: each leaves the queue when the one before has ended.
TEST(ServingTimelineTest, TheQueueEndsWhereTheOneBeforeEnds) {
  const Drawn d("serve-vllm-h100",
                {"serving/engine/max_num_seqs=1", "load/description/requests=20"});
  for (size_t i = 1; i < d.outcome.requests.size(); ++i)
    EXPECT_EQ(d.outcome.requests[i].started, d.outcome.requests[i - 1].end);
  const ServingRates rates = RatesOf(d.run.load, d.outcome);
  const double service = d.outcome.requests[0].end.seconds().value;
  EXPECT_NEAR(rates.queue.mean.value, 9.5 * service, 1e-6);  // (0 + 1 + ... + 19) / 20 of them
}

}  // namespace
}  // namespace moecast
