#include "traces/chrome_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"

namespace moecast {
namespace {

// Two ranks: a forward task with an op in it, a send, and the backward task that waits for it.
Timeline TwoRanks() {
  Timeline t;
  t.processes = {{.id = 0, .name = "rank 0: stage \"first\"", .stands_for = 128},
                 {.id = 128, .name = "rank 128"}};
  t.tracks = {{.process = 0, .thread = 1, .name = "compute"}, {.process = 1, .thread = 1, .name = "compute"}};
  const int32_t forward = t.names.IndexOf("forward"), backward = t.names.IndexOf("backward");
  t.tasks = {{.phase = forward, .micro_batch = 3, .chunk = 0, .first_layer = 0, .last_layer = 4},
             {.phase = backward}};
  t.spans = {{.start = {0}, .end = {2'500'001}, .track = 0, .name = t.names.IndexOf("F 3"), .task = 0},
             {.start = {1}, .end = {2'500'000}, .track = 0, .name = t.names.IndexOf("attention"), .task = 0},
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

std::string MessageOf(std::string_view text) {
  try {
    ReadChromeTrace(text, "t.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "no error";
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

TEST(ChromeTraceTest, ReadingGivesBackWhatWasWritten) {
  const Timeline t = ReadChromeTrace(WriteChromeTrace(TwoRanks()), "t.json");
  EXPECT_EQ(t.kind, TimelineKind::kPredicted);
  ASSERT_EQ(t.processes.size(), 2u);
  EXPECT_EQ(t.processes[0].name, "rank 0: stage \"first\"");
  EXPECT_EQ(t.processes[0].stands_for, 128);
  EXPECT_EQ(t.processes[1].id, 128);
  ASSERT_EQ(t.spans.size(), 3u);
  EXPECT_EQ(t.spans[1].start, Time{1});
  EXPECT_EQ(t.spans[1].end, Time{2'500'000});
  EXPECT_EQ(t.names[t.spans[1].name], "attention");
  EXPECT_EQ(t.spans[1].task, 0);
  EXPECT_TRUE(t.spans[2].stood_in);
  EXPECT_EQ(t.tracks[t.spans[2].track].process, 1);
  ASSERT_EQ(t.tasks.size(), 2u);
  EXPECT_EQ(t.names[t.tasks[0].phase], "forward");
  EXPECT_EQ(t.tasks[0].last_layer, 4);
  EXPECT_EQ(t.tasks[1].micro_batch, -1);
  ASSERT_EQ(t.flows.size(), 1u);
  EXPECT_EQ(t.flows[0].from, 0);
  EXPECT_EQ(t.flows[0].to, 2);
  ASSERT_EQ(t.counters.size(), 1u);
  EXPECT_EQ(t.names[t.counters[0].unit], "GiB");
  EXPECT_DOUBLE_EQ(t.counters[0].samples[1].value, 0.333333333);
}

TEST(ChromeTraceTest, AMeasuredTimelineStaysOne) {
  Timeline t = TwoRanks();
  t.kind = TimelineKind::kMeasured;
  EXPECT_EQ(ReadChromeTrace(WriteChromeTrace(t), "t.json").kind, TimelineKind::kMeasured);
}

TEST(ChromeTraceTest, EveryCharacterOfANameSurvives) {
  Timeline t = TwoRanks();
  std::string name = "quote \" backslash \\ slash / Grüße";
  for (char c = 1; c < 0x20; ++c) name += c;
  t.processes[0].name = name;
  EXPECT_EQ(ReadChromeTrace(WriteChromeTrace(t), "t.json").processes[0].name, name);
}

TEST(ChromeTraceTest, AnArrowEndsBehindItsBeginningInTheFileEvenWhereAllTakesNoTime) {
  // The receiving track comes first and both tasks start at 5.
  Timeline t = TwoRanks();
  t.spans = {{.start = {5}, .end = {9}, .track = 0}, {.start = {5}, .end = {5}, .track = 1}};
  t.flows = {{.from = 1, .to = 0}};
  const std::string text = WriteChromeTrace(t);
  EXPECT_LT(text.find("\"ph\":\"s\""), text.find("\"ph\":\"f\""));
  EXPECT_EQ(ReadChromeTrace(text, "t.json").flows.size(), 1u);
}

// Random slices that nest, on several tracks, with tasks, arrows and counters.
Timeline RandomTimeline(uint64_t seed) {
  Random random(seed);
  const auto below = [&](int n) { return static_cast<int>(random.Below(static_cast<uint64_t>(n))); };
  Timeline t;
  t.kind = below(2) ? TimelineKind::kPredicted : TimelineKind::kMeasured;
  const int processes = 1 + below(3);
  for (int p = 0; p < processes; ++p) {
    t.processes.push_back(
        {.id = 8 * p, .name = std::string(static_cast<size_t>(below(3)), 'p'), .stands_for = 1 + below(9)});
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
      const int64_t a = start + static_cast<int64_t>(random.Below(static_cast<uint64_t>(end - start + 1)));
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
    for (int k = 0; k < 3; ++k) t.counters.back().samples.push_back({{below(1000)}, random.Uniform() * 1e6});
  }
  return t;
}

TEST(ChromeTraceTest, WritingWhatWasReadGivesTheSameText) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const std::string text = WriteChromeTrace(RandomTimeline(seed));
    ASSERT_EQ(WriteChromeTrace(ReadChromeTrace(text, "t.json")), text) << "seed " << seed;
  }
}

TEST(ChromeTraceTest, NoPartOfATimelineIsLost) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const Timeline t = RandomTimeline(seed), back = ReadChromeTrace(WriteChromeTrace(t), "t.json");
    const auto slices = [](const Timeline& x) {
      std::vector<std::tuple<int32_t, int32_t, Time, Time, std::string, bool>> all;
      for (const Timeline::Span& s : x.spans) {
        const Timeline::Track& track = x.tracks[s.track];
        all.emplace_back(x.processes[track.process].id, track.thread, s.start, s.end, x.names[s.name],
                         s.stood_in);
      }
      std::sort(all.begin(), all.end());
      return all;
    };
    ASSERT_EQ(slices(t), slices(back)) << "seed " << seed;
    ASSERT_EQ(t.flows.size(), back.flows.size()) << "seed " << seed;
    ASSERT_EQ(t.tracks.size(), back.tracks.size()) << "seed " << seed;
  }
}

// As Perfetto reads a B or E event's time: microseconds as a double, cut to whole nanoseconds. Slices must
// still nest.
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

TEST(ChromeTraceTest, ReadsABareListOfCompleteEventsInAnyOrder) {
  const Timeline t = ReadChromeTrace(R"([
    {"name": "child", "ph": "X", "ts": 1.5, "dur": 0.25, "pid": 7, "tid": 2, "args": {"task": "any", "phase": 1}},
    {"name": "parent", "ph": "X", "ts": 1, "dur": 2, "pid": 7, "tid": 2, "cat": "kernel"},
    {"name": "mark", "ph": "i", "ts": 1, "pid": 7, "tid": 2, "s": "t"}])",
                                     "t.json");
  EXPECT_EQ(t.kind, TimelineKind::kMeasured);
  ASSERT_EQ(t.spans.size(), 2u);
  EXPECT_EQ(t.spans[0].start, Time{1'500'000});
  EXPECT_EQ(t.spans[0].end, Time{1'750'000});
  EXPECT_EQ(t.spans[0].task, -1);
  EXPECT_EQ(SpansByTrack(t), (std::vector<std::vector<int32_t>>{{1, 0}}));
}

TEST(ChromeTraceTest, OverlapsByTheRoundingOfOthersAreCut) {
  const Timeline t = ReadChromeTrace(R"([{"ph": "X", "ts": 0, "dur": 10.001, "pid": 0, "tid": 0},
    {"ph": "X", "ts": 10, "dur": 5, "pid": 0, "tid": 0}, {"ph": "X", "ts": 14, "dur": 1.001, "pid": 0, "tid": 0}])",
                                     "t.json");
  EXPECT_EQ(t.spans[0].end, Time{10'000'000});
  EXPECT_EQ(t.spans[2].end, Time{15'000'000});
  WriteChromeTrace(t);  // aborts where slices overlap
}

TEST(ChromeTraceTest, BrokenFilesAreRejectedWithTheirPlace) {
  const std::string b = R"({"ph":"B","pid":0,"tid":1,"ts":1})", e = R"({"ph":"E","pid":0,"tid":1,"ts":2})";
  const std::string ours = R"({"otherData":{"timeline":"predicted"},"traceEvents":[)";
  const std::pair<std::string, std::string> cases[] = {
      {"[", "t.json: line 1, column 2: found no valid JSON"},
      {"7", "t.json: /: found 7, expected an object"},
      {"{}", R"(a value for "traceEvents")"},
      {R"({"traceEvents": 1})", "t.json: /traceEvents: found 1, expected a list"},
      {R"({"otherData":{"timeline":"predictd"},"traceEvents":[]})", "did you mean \"predicted\""},
      {"[1]", "t.json: /0: found 1, expected an object"},
      {"[{}]", R"(a value for "ph")"},
      {R"([{"ph":"B","pid":"x","tid":1,"ts":0}])", "t.json: /0/pid: found \"x\""},
      {R"([{"ph":"B","pid":0,"tid":-1,"ts":0}])", "t.json: /0/tid: found -1"},
      {R"([{"ph":"X","pid":0,"tid":1,"ts":-1,"dur":1}])", "t.json: /0/ts: found -1"},
      {R"([{"ph":"X","pid":0,"tid":1,"ts":1e300,"dur":1}])", "t.json: /0/ts: found 1e+300"},
      {R"([{"ph":"X","pid":0,"tid":1,"ts":1}])", R"(a value for "dur")"},
      {"[" + b + "]", "t.json: /0: found a B event without its E"},
      {"[" + e + "]", "t.json: /0: found an E event without its B"},
      {"[" + b + "," + e + "," + b + "," + e + "]", "t.json: /2/ts: found 1, expected no time before"},
      {R"([{"ph":"X","pid":0,"tid":1,"ts":0,"dur":2},{"ph":"X","pid":0,"tid":1,"ts":1,"dur":2}])",
       "t.json: /1: found a slice that ends after the one it began in"},
      {R"([{"ph":"C","pid":0,"ts":0,"args":{"GiB":"much"}}])",
       "t.json: /0/args/GiB: found \"much\", expected a number"},
      {ours + R"({"ph":"B","pid":0,"tid":1,"ts":1,"args":{"task":0}}]})",
       "t.json: /traceEvents/0/args/task: found 0"},
      {ours + R"({"ph":"B","pid":0,"tid":1,"ts":1,"args":{"task":9,"phase":"forward"}}]})",
       "found 9, expected a whole number from 0 to 0"},
  };
  for (const auto& [text, message] : cases)
    EXPECT_NE(MessageOf(text).find(message), std::string::npos) << text << "\n" << MessageOf(text);
}

TEST(ChromeTraceTest, NoPrefixOfAFileCrashesTheReader) {
  const std::string text = WriteChromeTrace(TwoRanks());
  for (size_t n = 0; n + 2 < text.size(); ++n)
    EXPECT_THROW(ReadChromeTrace(text.substr(0, n), "t.json"), UserError) << n;
}

TEST(ChromeTraceDeathTest, SlicesThatOverlapWithoutNestingAreADefectOfTheirMaker) {
  Timeline t = TwoRanks();
  t.spans.push_back({.start = {2'000'000}, .end = {9'000'000}, .track = 0});
  EXPECT_DEATH(WriteChromeTrace(t), "chrome_trace_writer");
}

}  // namespace
}  // namespace moecast
