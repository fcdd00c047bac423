#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "base/check.h"
#include "traces/chrome_trace.h"

namespace moecast {
namespace {

// Appends to one text; a trace has some 10^4 events.
class EventWriter {
 public:
  explicit EventWriter(const Timeline& timeline)
      : t_(timeline), task_number_(timeline.tasks.size(), -1) {}

  std::string Write() {
    // Slices: two lines of about 100 bytes; counters: one.
    size_t samples = 0;
    for (const Timeline::Counter& c : t_.counters) samples += c.samples.size();
    out_.reserve(1024 + 200 * (t_.spans.size() + t_.flows.size()) + 90 * samples);

    Text("{\"displayTimeUnit\":\"ms\",\"otherData\":{\"timeline\":");
    Quoted(NameOf(t_.kind));
    Text("},\"traceEvents\":[");
    Metadata();
    Slices();
    for (const Timeline::Counter& c : t_.counters) Samples(c);
    Text("\n]}\n");
    return std::move(out_);
  }

 private:
  // The begin or the end of a slice.
  struct Edge {
    int32_t span;
    bool begin;
  };

  void Text(std::string_view text) { out_ += text; }
  void Number(int64_t n) {
    char buffer[24];
    out_.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, n).ptr);
  }
  void Quoted(std::string_view text) {
    out_ += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
        out_ += escape;
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }
  void Microseconds(Time t) {
    MOECAST_CHECK(t >= Time{});
    Number(t.ps / 1'000'000);
    char decimals[] = ".000000";
    int64_t rest = t.ps % 1'000'000;
    for (int i = 6; rest > 0; --i, rest /= 10) decimals[i] = static_cast<char>('0' + rest % 10);
    Text(decimals);
  }

  // `{"ph":"B","pid":0` on a line of its own.
  void Open(std::string_view phase, const Timeline::Process& process) {
    Text(first_ ? "\n{\"ph\":\"" : ",\n{\"ph\":\"");
    first_ = false;
    Text(phase);
    Text("\",\"pid\":");
    Number(process.id);
  }
  void At(const Timeline::Track& track, Time time) {
    Text(",\"tid\":");
    Number(track.thread);
    Text(",\"ts\":");
    Microseconds(time);
  }
  void Name(std::string_view name) {
    Text(",\"name\":");
    Quoted(name);
  }

  void Metadata() {
    for (size_t i = 0; i < t_.processes.size(); ++i) {
      const Timeline::Process& p = t_.processes[i];
      Open("M", p);
      Text(",\"name\":\"process_name\",\"args\":{\"name\":");
      Quoted(p.name);
      Text(",\"stands_for\":");
      Number(p.stands_for);
      Text("}}");
      Open("M", p);
      Text(",\"name\":\"process_sort_index\",\"args\":{\"sort_index\":");
      Number(static_cast<int64_t>(i));
      Text("}}");
    }
    for (const Timeline::Track& track : t_.tracks) {
      const Timeline::Process& p = t_.processes[static_cast<size_t>(track.process)];
      for (const bool name : {true, false}) {
        Open("M", p);
        Text(",\"tid\":");
        Number(track.thread);
        Text(name ? ",\"name\":\"thread_name\",\"args\":{\"name\":"
                  : ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":");
        name ? Quoted(track.name) : Number(track.thread);
        Text("}}");
      }
    }
  }

  // All edges in the order they are written: outermost slices by start, then end, each with all
  // that nests in it. Readers sort by time and keep the order of equal times, so an arrow's end
  // follows its beginning there even where a transfer takes no time.
  std::vector<Edge> Edges() const {
    struct Outermost {
      Time start, end;
      size_t begin;  // in `edges`
    };
    std::vector<Edge> edges;
    std::vector<Outermost> outermost;
    edges.reserve(2 * t_.spans.size());
    std::vector<int32_t> open;
    const auto close = [&] {
      edges.push_back({open.back(), false});
      open.pop_back();
    };
    for (const std::vector<int32_t>& track : SpansByTrack(t_)) {
      for (const int32_t i : track) {
        const Timeline::Span& span = t_.spans[static_cast<size_t>(i)];
        MOECAST_CHECK(span.start <= span.end);
        while (!open.empty() && SpanOf(open.back()).end <= span.start) close();
        if (open.empty())
          outermost.push_back({span.start, span.end, edges.size()});
        else
          MOECAST_CHECK(span.end <= SpanOf(open.back()).end);
        edges.push_back({i, true});
        open.push_back(i);
      }
      while (!open.empty()) close();
    }
    std::vector<size_t> order(outermost.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return std::tie(outermost[a].start, outermost[a].end) <
             std::tie(outermost[b].start, outermost[b].end);
    });
    std::vector<Edge> sorted;
    sorted.reserve(edges.size());
    for (const size_t i : order) {
      const size_t end = i + 1 < outermost.size() ? outermost[i + 1].begin : edges.size();
      sorted.insert(sorted.end(), edges.begin() + static_cast<std::ptrdiff_t>(outermost[i].begin),
                    edges.begin() + static_cast<std::ptrdiff_t>(end));
    }
    return sorted;
  }
  const Timeline::Span& SpanOf(int32_t i) const { return t_.spans[static_cast<size_t>(i)]; }

  void Slices() {
    const std::vector<Edge> edges = Edges();
    // Arrows are numbered in the order of their beginnings in the file.
    std::vector<std::vector<int32_t>> leaving(t_.spans.size()), arriving(t_.spans.size());
    for (size_t i = 0; i < t_.flows.size(); ++i)
      leaving[static_cast<size_t>(t_.flows[i].from)].push_back(static_cast<int32_t>(i));
    std::vector<int32_t> number(t_.flows.size());
    int32_t next = 0;
    for (const Edge& e : edges) {
      if (e.begin) continue;
      for (const int32_t i : leaving[static_cast<size_t>(e.span)]) {
        number[static_cast<size_t>(i)] = next++;
        arriving[static_cast<size_t>(t_.flows[static_cast<size_t>(i)].to)].push_back(i);
      }
    }

    for (const Edge& e : edges) {
      const Timeline::Span& span = SpanOf(e.span);
      const Timeline::Track& track = t_.tracks[static_cast<size_t>(span.track)];
      const Timeline::Process& process = t_.processes[static_cast<size_t>(track.process)];
      if (e.begin) {
        Open("B", process);
        At(track, span.start);
        Name(t_.names[span.name]);
        Arguments(span);
        Text("}");
      }
      // Arrows bind to the slice that is open where they stand.
      for (const int32_t i : (e.begin ? arriving : leaving)[static_cast<size_t>(e.span)]) {
        const Timeline::Flow& flow = t_.flows[static_cast<size_t>(i)];
        Open(e.begin ? "f\",\"bp\":\"e" : "s", process);
        At(track, e.begin ? span.start : span.end);
        Name(t_.names[flow.name]);
        Text(",\"cat\":\"flow\",\"id\":");
        Number(number[static_cast<size_t>(i)]);
        Text("}");
      }
      if (!e.begin) {
        Open("E", process);
        At(track, span.end);
        Text("}");
      }
    }
  }

  void Arguments(const Timeline::Span& span) {
    if (span.task < 0 && !span.stood_in) return;
    Text(",\"args\":{");
    if (span.task >= 0) TaskArguments(static_cast<size_t>(span.task));
    if (span.stood_in) Text(span.task >= 0 ? ",\"stood_in\":true" : "\"stood_in\":true");
    Text("}");
  }
  // The first slice of a task says what it is; tasks are numbered by it.
  void TaskArguments(size_t task) {
    int32_t& number = task_number_[task];
    const bool first = number < 0;
    if (first) number = tasks_written_++;
    Text("\"task\":");
    Number(number);
    if (!first) return;
    const Timeline::Task& t = t_.tasks[task];
    Text(",\"phase\":");
    Quoted(t_.names[t.phase]);
    const std::pair<const char*, int32_t> numbers[] = {{",\"micro_batch\":", t.micro_batch},
                                                       {",\"chunk\":", t.chunk},
                                                       {",\"first_layer\":", t.first_layer},
                                                       {",\"last_layer\":", t.last_layer}};
    for (const auto& [key, value] : numbers) {
      if (value < 0) continue;
      Text(key);
      Number(value);
    }
  }

  void Samples(const Timeline::Counter& c) {
    const Timeline::Process& process = t_.processes[static_cast<size_t>(c.process)];
    for (const Timeline::Counter::Sample& sample : c.samples) {
      Open("C", process);
      Text(",\"ts\":");
      Microseconds(sample.at);
      Name(t_.names[c.name]);
      Text(",\"args\":{");
      Quoted(t_.names[c.unit]);
      MOECAST_CHECK(std::isfinite(sample.value));
      char value[40];
      std::snprintf(value, sizeof value, ":%.9g}}", sample.value);
      Text(value);
    }
  }

  const Timeline& t_;
  std::string out_;
  bool first_ = true;
  std::vector<int32_t> task_number_;
  int32_t tasks_written_ = 0;
};

}  // namespace

std::string WriteChromeTrace(const Timeline& timeline) {
  return EventWriter(timeline).Write();
}

}  // namespace moecast
