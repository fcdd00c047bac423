// What ran when, predicted or measured: slices on the threads of processes (streams of ranks),
// grouped by the task they belong to, with the sends between them and counters beside them. Plain
// data; chrome_trace.h writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/enum_names.h"
#include "base/time.h"

namespace moecast {

enum class TimelineKind : uint8_t { kPredicted, kMeasured };
template <>
struct EnumNames<TimelineKind> {
  static constexpr EnumName<TimelineKind> kNames[] = {{TimelineKind::kPredicted, "predicted"},
                                                      {TimelineKind::kMeasured, "measured"}};
};

// Texts, each once; spans refer to them by index, which is the order of first use.
class NameTable {
 public:
  int32_t IndexOf(std::string_view name);  // adds it where it is new
  const std::string& operator[](int32_t index) const { return names_[static_cast<size_t>(index)]; }
  size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, int32_t> index_;
};

// All indices are into the vectors of the same timeline; name, phase and unit into `names`.
struct Timeline {
  struct Process {
    int32_t id = 0;  // the rank
    std::string name;
    int32_t stands_for = 1;  // how many ranks ran exactly this
  };
  struct Track {
    int32_t process = 0;
    int32_t thread = 0;  // its number within the process
    std::string name;    // of the stream
  };
  // What spans belong to; -1: has none.
  struct Task {
    int32_t phase = 0;
    int32_t micro_batch = -1, chunk = -1;
    int32_t first_layer = -1, last_layer = -1;  // of the model

    friend bool operator==(const Task&, const Task&) = default;
  };
  // Spans of a track nest or follow one another.
  struct Span {
    Time start, end;
    int32_t track = 0;
    int32_t name = 0;
    int32_t task = -1;      // -1: none
    bool stood_in = false;  // measured, but something else ran in its place
  };
  // From the end of a span to the start of another.
  struct Flow {
    int32_t from = 0, to = 0;
    int32_t name = 0;
  };
  struct Counter {
    struct Sample {
      Time at;
      double value = 0;
    };
    int32_t process = 0;
    int32_t name = 0, unit = 0;
    std::vector<Sample> samples;  // each value holds until the next
  };

  TimelineKind kind = TimelineKind::kPredicted;
  NameTable names;
  std::vector<Process> processes;
  std::vector<Track> tracks;
  std::vector<Task> tasks;
  std::vector<Span> spans;
  std::vector<Flow> flows;
  std::vector<Counter> counters;
};

// Span indices by track, each a parent before its children, otherwise by time: sorted by start, the
// longer first, then by index.
std::vector<std::vector<int32_t>> SpansByTrack(const Timeline& timeline);

}  // namespace moecast
