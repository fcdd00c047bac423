#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/fields.h"
#include "traces/chrome_trace.h"

namespace moecast {
namespace {

constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr double kMaxMicroseconds = 4e12;  // a start and a duration fit in Time, which reaches 9.2e12
constexpr Time kRounding{1000};            // others write nanoseconds, rounding starts and durations apart

class EventReader {
 public:
  EventReader(JsonCursor root, const std::string& file) : root_(std::move(root)), file_(file) {}

  Timeline Read() {
    t_.kind = TimelineKind::kMeasured;
    if (root_.json().is_object() && root_.Has("otherData") && root_.Key("otherData").Has("timeline")) {
      t_.kind = Codec<TimelineKind>::Parse(root_.Key("otherData").Key("timeline"), {});
      ours_ = true;
    }
    const JsonCursor events = root_.json().is_array() ? root_ : root_.Required("traceEvents");
    for (size_t i = 0, n = events.size(); i < n; ++i) Read(events.At(i));
    for (const Open& open : open_)
      if (!open.spans.empty())
        Reject(event_of_[static_cast<size_t>(open.spans.back())], "a B event without its E", "both");
    CutOrRejectOverlaps();
    JoinFlows();
    return std::move(t_);
  }

 private:
  // Slices of a thread that have begun, the innermost last.
  struct Open {
    std::vector<int32_t> spans;
    Time latest;  // of its B and E events
  };
  struct FlowEnd {
    std::string id;  // with category and name
    int32_t span, name;
  };

  [[noreturn]] void Reject(const std::string& pointer, const std::string& value,
                           const std::string& expected) const {
    throw UserError({.file = file_, .pointer = pointer, .value = value, .expected = expected});
  }

  static Time TimeAt(const JsonCursor& at) {
    return Time{std::llround(at.Number(0, kMaxMicroseconds) * 1e6)};
  }
  static std::string TextOr(const JsonCursor& at, std::string_view key) {
    return at.Has(key) ? at.Key(key).Text() : std::string();
  }

  int32_t ProcessOf(const JsonCursor& event) {
    const int32_t id = static_cast<int32_t>(event.Required("pid").Int(0, kMaxInt32));
    const auto [at, is_new] = process_.try_emplace(id, static_cast<int32_t>(t_.processes.size()));
    if (is_new) t_.processes.push_back({.id = id});
    return at->second;
  }
  int32_t TrackOf(const JsonCursor& event) {
    const int32_t process = ProcessOf(event);
    const int32_t thread = static_cast<int32_t>(event.Required("tid").Int(0, kMaxInt32));
    const auto [at, is_new] = track_.try_emplace({process, thread}, static_cast<int32_t>(t_.tracks.size()));
    if (is_new) {
      t_.tracks.push_back({.process = process, .thread = thread});
      open_.emplace_back();
    }
    return at->second;
  }

  void Read(const JsonCursor& event) {
    const std::string& phase = event.Required("ph").Text();
    if (phase == "M") return Metadata(event);
    if (phase == "B") return Begin(event);
    if (phase == "E") return End(event);
    if (phase == "X") return Complete(event);
    if (phase == "s") return FlowAt(event, flow_starts_);
    if (phase == "f") return FlowAt(event, flow_ends_);
    if (phase == "C") return Sample(event);
  }

  void Metadata(const JsonCursor& event) {
    const std::string what = TextOr(event, "name");
    if (what == "process_name") {
      const JsonCursor arguments = event.Required("args");
      Timeline::Process& process = t_.processes[static_cast<size_t>(ProcessOf(event))];
      process.name = arguments.Required("name").Text();
      if (ours_ && arguments.Has("stands_for"))
        process.stands_for = static_cast<int32_t>(arguments.Key("stands_for").Int(1, kMaxInt32));
    } else if (what == "thread_name") {
      t_.tracks[static_cast<size_t>(TrackOf(event))].name = event.Required("args").Required("name").Text();
    }
  }

  int32_t Add(const JsonCursor& event, int32_t track, Time start, Time end) {
    Timeline::Span span{
        .start = start, .end = end, .track = track, .name = t_.names.IndexOf(TextOr(event, "name"))};
    if (ours_ && event.Has("args")) {
      const JsonCursor arguments = event.Key("args");
      if (arguments.Has("task")) span.task = TaskOf(arguments);
      if (arguments.Has("stood_in")) span.stood_in = arguments.Key("stood_in").Bool();
    }
    t_.spans.push_back(span);
    event_of_.push_back(event.pointer());
    return static_cast<int32_t>(t_.spans.size()) - 1;
  }
  // Tasks are numbered in the order of the slices that say what they are.
  int32_t TaskOf(const JsonCursor& arguments) {
    const bool described = arguments.Has("phase");
    const int64_t known = static_cast<int64_t>(t_.tasks.size());
    const JsonCursor at = arguments.Key("task");
    if (!described && known == 0) at.Fail("a slice before it that gives the task's phase");
    const int32_t number = static_cast<int32_t>(described ? at.Int(known, known) : at.Int(0, known - 1));
    if (!described) return number;
    const auto number_or_none = [&](std::string_view key) {
      return arguments.Has(key) ? static_cast<int32_t>(arguments.Key(key).Int(0, kMaxInt32)) : -1;
    };
    t_.tasks.push_back({.phase = t_.names.IndexOf(arguments.Key("phase").Text()),
                        .micro_batch = number_or_none("micro_batch"),
                        .chunk = number_or_none("chunk"),
                        .first_layer = number_or_none("first_layer"),
                        .last_layer = number_or_none("last_layer")});
    return number;
  }

  // The time of a B or E event, which must not go back within its thread.
  Time NextTime(const JsonCursor& event, int32_t track) {
    const JsonCursor at = event.Required("ts");
    const Time time = TimeAt(at);
    Time& latest = open_[static_cast<size_t>(track)].latest;
    if (time < latest) at.Fail("no time before that of the thread's last B or E event");
    return latest = time;
  }
  void Begin(const JsonCursor& event) {
    const int32_t track = TrackOf(event);
    const Time start = NextTime(event, track);
    open_[static_cast<size_t>(track)].spans.push_back(Add(event, track, start, start));
  }
  void End(const JsonCursor& event) {
    const int32_t track = TrackOf(event);
    const Time end = NextTime(event, track);
    std::vector<int32_t>& open = open_[static_cast<size_t>(track)].spans;
    if (open.empty()) Reject(event.pointer(), "an E event without its B", "both");
    t_.spans[static_cast<size_t>(open.back())].end = end;
    open.pop_back();
  }
  void Complete(const JsonCursor& event) {
    const Time start = TimeAt(event.Required("ts"));
    Add(event, TrackOf(event), start, start + TimeAt(event.Required("dur")));
  }

  void FlowAt(const JsonCursor& event, std::vector<FlowEnd>& ends) {
    const std::vector<int32_t>& open = open_[static_cast<size_t>(TrackOf(event))].spans;
    if (open.empty()) return;
    const std::string name = TextOr(event, "name");
    const Json id = Json::array({TextOr(event, "cat"), name, event.Required("id").json()});
    ends.push_back({DumpJson(id, -1), open.back(), t_.names.IndexOf(name)});
  }

  void Sample(const JsonCursor& event) {
    const int32_t process = ProcessOf(event);
    const Time at = TimeAt(event.Required("ts"));
    const int32_t name = t_.names.IndexOf(TextOr(event, "name"));
    const JsonCursor values = event.Required("args");
    for (const std::string& key : values.Keys()) {
      const int32_t unit = t_.names.IndexOf(key);
      const auto [counter, is_new] =
          counter_.try_emplace(std::array{process, name, unit}, static_cast<int32_t>(t_.counters.size()));
      if (is_new) t_.counters.push_back({.process = process, .name = name, .unit = unit});
      t_.counters[static_cast<size_t>(counter->second)].samples.push_back(
          {at, values.Key(key).Number(-1e300, 1e300)});
    }
  }

  void CutOrRejectOverlaps() {
    for (const std::vector<int32_t>& track : SpansByTrack(t_)) {
      std::vector<Timeline::Span*> open;
      for (const int32_t i : track) {
        Timeline::Span& span = t_.spans[static_cast<size_t>(i)];
        while (!open.empty() && open.back()->end <= span.start + kRounding && open.back()->end < span.end) {
          open.back()->end = std::min(open.back()->end, span.start);
          open.pop_back();
        }
        if (!open.empty() && span.end > open.back()->end + kRounding)
          Reject(event_of_[static_cast<size_t>(i)], "a slice that ends after the one it began in",
                 "slices of a thread that nest or follow one another");
        if (!open.empty()) span.end = std::min(span.end, open.back()->end);
        open.push_back(&span);
      }
    }
  }

  void JoinFlows() {
    std::map<std::string, const FlowEnd*> ends;
    for (const FlowEnd& end : flow_ends_) ends[end.id] = &end;
    for (const FlowEnd& start : flow_starts_)
      if (const auto end = ends.find(start.id); end != ends.end())
        t_.flows.push_back({start.span, end->second->span, start.name});
  }

  JsonCursor root_;
  const std::string& file_;
  bool ours_ = false;  // written by WriteChromeTrace: arguments mean what they mean there
  Timeline t_;
  std::map<int32_t, int32_t> process_;                    // by pid
  std::map<std::pair<int32_t, int32_t>, int32_t> track_;  // by process and tid
  std::map<std::array<int32_t, 3>, int32_t> counter_;     // by process, name, unit
  std::vector<Open> open_;                                // by track
  std::vector<std::string> event_of_;                     // by span: the pointer of its first event
  std::vector<FlowEnd> flow_starts_, flow_ends_;
};

}  // namespace

Timeline ReadChromeTrace(std::string_view text, const std::string& file) {
  return EventReader(JsonCursor(ParseJson(text, file)), file).Read();
}

}  // namespace moecast
