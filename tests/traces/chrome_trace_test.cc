#include "traces/chrome_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/json.h"
#include "base/random.h"

namespace moecast {
namespace {

// Two ranks: a forward task with an op in it, a send, and the backward task that waits for it.
Timeline TwoRanks() {
  Timeline t;
  t.processes = {{.id = 0, .name = "rank 0: stage \"first\"", .stands_for = 128},
                 {.id = 128, .name = "rank 128"}};
  t.tracks = {{.process = 0, .thread = 1, .name = "compute"},
              {.process = 1, .thread = 1, .name = "compute"}};
  const int32_t forward = t.names.IndexOf("forward"), backward = t.names.IndexOf("backward");
  t.tasks = {{.phase = forward, .micro_batch = 3, .chunk = 0, .first_layer = 0, .last_layer = 4},
             {.phase = backward}};
  t.spans = {
      {.start = {0}, .end = {2'500'001}, .track = 0, .name = t.names.IndexOf("F 3"), .task = 0},
      {.start = {1},
       .end = {2'500'000},
       .track = 0,
       .name = t.names.IndexOf("attention"),
       .task = 0},
      {.start = {2'500'001},
       .end = {3'000'000'000'000},
       .track = 1,
       .name = t.names.IndexOf("B 3"),
       .task = 1,
       .stood_in = true}};
  t.flows = {{.from = 0, .to = 2, .name = t.names.IndexOf("send")}};
  t.counters = {{.process = 1,
                 .name = t.names.IndexOf("memory"),
                 .unit = t.names.IndexOf("GiB"),
                 .samples = {{{0}, 1.5}, {{1'000'000}, 1.0 / 3}}}};
  return t;
}

TEST(ChromeTraceTest, ASmallTimelineIsWrittenAsThis) {
  EXPECT_EQ(WriteChromeTrace(TwoRanks()),
            R"({"displayTimeUnit":"ms","otherData":{"timeline":"predicted"},"traceEvents":[
{"ph":"M","pid":0,"name":"process_name","args":{"name":"rank 0: stage \"first\"","stands_for":128}},
{"ph":"M","pid":0,"name":"process_sort_index","args":{"sort_index":0}},
{"ph":"M","pid":128,"name":"process_name","args":{"name":"rank 128","stands_for":1}},
{"ph":"M","pid":128,"name":"process_sort_index","args":{"sort_index":1}},
{"ph":"M","pid":0,"tid":1,"name":"thread_name","args":{"name":"compute"}},
{"ph":"M","pid":0,"tid":1,"name":"thread_sort_index","args":{"sort_index":1}},
{"ph":"M","pid":128,"tid":1,"name":"thread_name","args":{"name":"compute"}},
{"ph":"M","pid":128,"tid":1,"name":"thread_sort_index","args":{"sort_index":1}},
{"ph":"B","pid":0,"tid":1,"ts":0.000000,"name":"F 3","args":{"task":0,"phase":"forward","micro_batch":3,"chunk":0,"first_layer":0,"last_layer":4}},
{"ph":"B","pid":0,"tid":1,"ts":0.000001,"name":"attention","args":{"task":0}},
{"ph":"E","pid":0,"tid":1,"ts":2.500000},
{"ph":"s","pid":0,"tid":1,"ts":2.500001,"name":"send","cat":"flow","id":0},
{"ph":"E","pid":0,"tid":1,"ts":2.500001},
{"ph":"B","pid":128,"tid":1,"ts":2.500001,"name":"B 3","args":{"task":1,"phase":"backward","stood_in":true}},
{"ph":"f","bp":"e","pid":128,"tid":1,"ts":2.500001,"name":"send","cat":"flow","id":0},
{"ph":"E","pid":128,"tid":1,"ts":3000000.000000},
{"ph":"C","pid":128,"ts":0.000000,"name":"memory","args":{"GiB":1.5}},
{"ph":"C","pid":128,"ts":1.000000,"name":"memory","args":{"GiB":0.333333333}}
]}
)");
}

TEST(ChromeTraceTest, AMeasuredTimelineSaysSo) {
  Timeline t = TwoRanks();
  t.kind = TimelineKind::kMeasured;
  EXPECT_EQ(ParseJson(WriteChromeTrace(t), "t.json")->root["otherData"]["timeline"], "measured");
}

TEST(ChromeTraceTest, EveryCharacterOfANameSurvives) {
  Timeline t = TwoRanks();
  std::string name = "quote \" backslash \\ slash / Grüße";
  for (char c = 1; c < 0x20; ++c) name += c;
  t.processes[0].name = name;
  const Json events = ParseJson(WriteChromeTrace(t), "t.json")->root["traceEvents"];
  EXPECT_EQ(events[0]["args"]["name"].get<std::string>(), name);
}

TEST(ChromeTraceTest, AnArrowEndsBehindItsBeginningInTheFileEvenWhereAllTakesNoTime) {
  // The receiving track comes first and both tasks start at 5.
  Timeline t = TwoRanks();
  t.spans = {{.start = {5}, .end = {9}, .track = 0}, {.start = {5}, .end = {5}, .track = 1}};
  t.flows = {{.from = 1, .to = 0}};
  const std::string text = WriteChromeTrace(t);
  EXPECT_LT(text.find("\"ph\":\"s\""), text.find("\"ph\":\"f\""));
}

// Random slices that nest, on several tracks, with tasks, arrows and counters.
Timeline RandomTimeline(uint64_t seed) {
  Random random(seed);
  const auto below = [&](int n) {
    return static_cast<int>(random.Below(static_cast<uint64_t>(n)));
  };
  Timeline t;
  t.kind = below(2) ? TimelineKind::kPredicted : TimelineKind::kMeasured;
  const int processes = 1 + below(3);
  for (int p = 0; p < processes; ++p) {
    t.processes.push_back({.id = 8 * p,
                           .name = std::string(static_cast<size_t>(below(3)), 'p'),
                           .stands_for = 1 + below(9)});
    for (int s = 0, n = 1 + below(3); s < n; ++s)
      t.tracks.push_back({.process = p, .thread = 1 + s, .name = "stream"});
  }
  for (int i = 0, n = below(6); i < n; ++i)
    t.tasks.push_back({.phase = t.names.IndexOf("phase " + std::to_string(below(3))),
                       .micro_batch = below(5) - 1,
                       .chunk = below(3) - 1,
                       .first_layer = below(9) - 1,
                       .last_layer = below(9) - 1});
  for (size_t track = 0; track < t.tracks.size(); ++track) {
    // Each range is a parent of the ranges cut out of it.
    std::vector<std::pair<int64_t, int64_t>> ranges{{0, int64_t{1} << (1 + below(50))}};
    for (int i = 0, n = below(12); i < n && !ranges.empty(); ++i) {
      const auto [start, end] = ranges.back();
      ranges.pop_back();
      const int64_t a =
          start + static_cast<int64_t>(random.Below(static_cast<uint64_t>(end - start + 1)));
      const int64_t b = a + static_cast<int64_t>(random.Below(static_cast<uint64_t>(end - a + 1)));
      t.spans.push_back({.start = {a},
                         .end = {b},
                         .track = static_cast<int32_t>(track),
                         .name = t.names.IndexOf("op " + std::to_string(below(4))),
                         .task = below(static_cast<int>(t.tasks.size()) + 1) - 1,
                         .stood_in = below(4) == 0});
      ranges.push_back({b, end});
      ranges.push_back({a, b});
    }
  }
  const int spans = static_cast<int>(t.spans.size());
  for (int i = 0, n = spans ? below(6) : 0; i < n; ++i)
    t.flows.push_back({.from = below(spans), .to = below(spans), .name = t.names.IndexOf("send")});
  for (int i = 0, n = below(3); i < n; ++i) {
    t.counters.push_back({.process = below(processes),
                          .name = t.names.IndexOf("c" + std::to_string(i)),
                          .unit = t.names.IndexOf("GiB")});
    for (int k = 0; k < 3; ++k)
      t.counters.back().samples.push_back({{below(1000)}, random.Uniform() * 1e6});
  }
  return t;
}

// A slice as a file has it and as a timeline has it: process, thread, start, end, name, stood_in.
using TimelineSlice = std::tuple<int, int, int64_t, int64_t, std::string, bool>;

std::vector<TimelineSlice> SlicesOf(const Timeline& t) {
  std::vector<TimelineSlice> slices;
  for (const Timeline::Span& s : t.spans) {
    const Timeline::Track& track = t.tracks[s.track];
    slices.emplace_back(t.processes[track.process].id, track.thread, s.start.ps, s.end.ps,
                        t.names[s.name], s.stood_in);
  }
  std::sort(slices.begin(), slices.end());
  return slices;
}

// Each E ends the B that its thread opened last.
std::vector<TimelineSlice> SlicesOf(const Json& events) {
  std::map<std::pair<int, int>, std::vector<TimelineSlice>> open;
  std::vector<TimelineSlice> slices;
  for (const Json& event : events) {
    if (event["ph"] != "B" && event["ph"] != "E") continue;
    const int pid = event["pid"].get<int>(), tid = event["tid"].get<int>();
    const int64_t at = std::llround(event["ts"].get<double>() * 1e6);
    std::vector<TimelineSlice>& stack = open[{pid, tid}];
    if (event["ph"] == "B") {
      const bool stood_in = event.contains("args") && event["args"].contains("stood_in");
      stack.emplace_back(pid, tid, at, 0, event["name"].get<std::string>(), stood_in);
      continue;
    }
    slices.push_back(stack.back());
    std::get<3>(slices.back()) = at;
    stack.pop_back();
  }
  std::sort(slices.begin(), slices.end());
  return slices;
}

TEST(ChromeTraceTest, NoPartOfATimelineIsLost) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const Timeline t = RandomTimeline(seed);
    const Json events = ParseJson(WriteChromeTrace(t), "t.json")->root["traceEvents"];
    ASSERT_EQ(SlicesOf(t), SlicesOf(events)) << "seed " << seed;
    size_t begins = 0, ends = 0, samples = 0, threads = 0;
    for (const Json& event : events) {
      begins += event["ph"] == "s";
      ends += event["ph"] == "f";
      samples += event["ph"] == "C";
      threads += event.contains("name") && event["name"] == "thread_name";
    }
    ASSERT_EQ(begins, t.flows.size()) << "seed " << seed;
    ASSERT_EQ(ends, t.flows.size()) << "seed " << seed;
    ASSERT_EQ(samples, 3 * t.counters.size()) << "seed " << seed;
    ASSERT_EQ(threads, t.tracks.size()) << "seed " << seed;
  }
}

// As Perfetto reads a B or E event's time: microseconds as a double, cut to whole nanoseconds.
// Slices must still nest.
TEST(ChromeTraceTest, SlicesNestInWholeNanoseconds) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const auto document = ParseJson(WriteChromeTrace(RandomTimeline(seed)), "t.json");
    std::map<std::pair<int, int>, std::pair<int64_t, int>> threads;  // latest time, slices open
    for (const Json& event : document->root["traceEvents"]) {
      if (event["ph"] != "B" && event["ph"] != "E") continue;
      auto& [latest, open] = threads[{event["pid"].get<int>(), event["tid"].get<int>()}];
      const int64_t at = static_cast<int64_t>(event["ts"].get<double>() * 1000);
      ASSERT_LE(latest, at);
      latest = at;
      open += event["ph"] == "B" ? 1 : -1;
      ASSERT_GE(open, 0);
    }
    for (const auto& [thread, state] : threads) ASSERT_EQ(state.second, 0);
  }
}

TEST(ChromeTraceDeathTest, SlicesThatOverlapWithoutNestingAreADefectOfTheirMaker) {
  Timeline t = TwoRanks();
  t.spans.push_back({.start = {2'000'000}, .end = {9'000'000}, .track = 0});
  EXPECT_DEATH(WriteChromeTrace(t), "chrome_trace_writer");
}

}  // namespace
}  // namespace moecast
