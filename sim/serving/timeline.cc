#include "sim/serving/timeline.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace moecast {
namespace {

class Builder {
 public:
  Builder(const ServingRun& run, const ServingOutcome& outcome) : run_(run), outcome_(outcome) {}

  Timeline Build() {
    const auto decode = static_cast<size_t>(run_.deployment.replicas);
    for (size_t r = 0; r < outcome_.records.size(); ++r) {
      std::string name = "replica " + std::to_string(r < decode ? r : r - decode);
      if (run_.deployment.prefill) name += r < decode ? ", decodes" : ", prefills";
      AddReplica(outcome_.records[r], r < decode ? run_.deployment.parallel.pp : 1,
                 AddProcess(std::move(name)));
    }
    AddRequests(AddProcess("requests"));
    return std::move(timeline_);
  }

 private:
  int32_t AddProcess(std::string name) {
    const auto process = static_cast<int32_t>(timeline_.processes.size());
    timeline_.processes.push_back({.id = process, .name = std::move(name)});
    return process;
  }
  int32_t AddTrack(int32_t process, int32_t thread, std::string name) {
    timeline_.tracks.push_back({process, thread, std::move(name)});
    return static_cast<int32_t>(timeline_.tracks.size()) - 1;
  }
  void AddSpan(int32_t track, std::string_view name, Time start, Time end) {
    if (start < end) timeline_.spans.push_back({start, end, track, timeline_.names.IndexOf(name)});
  }

  void AddReplica(const ReplicaRecord& record, int pp, int32_t process) {
    std::vector<int32_t> tracks;  // by lane
    for (int l = 0; l < pp; ++l)
      tracks.push_back(AddTrack(process, l, pp == 1 ? "engine" : "batch " + std::to_string(l)));
    for (const IterationSpan& i : record.iterations) {
      const int32_t track = tracks[static_cast<size_t>(i.lane)];
      const char* name = i.decodes == 0         ? "prefill"
                         : i.prompt_tokens == 0 ? "decode"
                                                : "prefill and decode";
      AddSpan(track, name, i.start, i.end);
      AddSpan(track, "engine overhead", i.end - i.overhead, i.end);
    }
    // A member of each of these, from a time of it on.
    const auto counter = [&](std::string_view name, std::string_view unit, const auto& of, auto at,
                             auto member) {
      Timeline::Counter c{.process = process,
                          .name = timeline_.names.IndexOf(name),
                          .unit = timeline_.names.IndexOf(unit)};
      for (const auto& one : of) c.samples.push_back({one.*at, static_cast<double>(one.*member)});
      timeline_.counters.push_back(std::move(c));
    };
    const auto& [iterations, samples] = record;
    using Span = IterationSpan;
    using Sample = ServingSample;
    counter("prompt tokens of the iteration", "tokens", iterations, &Span::start,
            &Span::prompt_tokens);
    counter("decodes of the iteration", "tokens", iterations, &Span::start, &Span::decodes);
    counter("waiting", "requests", samples, &Sample::at, &Sample::waiting);
    counter("running", "requests", samples, &Sample::at, &Sample::running);
    counter("KV cache", "blocks", samples, &Sample::at, &Sample::kv_blocks);
  }

  void AddRequests(int32_t process) {
    using Busy = std::pair<Time, int32_t>;
    std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy;  // by end
    std::set<int32_t> idle;
    std::vector<int32_t> tracks;  // by lane
    std::vector<size_t> order(outcome_.requests.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return outcome_.requests[a].arrival < outcome_.requests[b].arrival;
    });
    for (const size_t i : order) {
      const RequestOutcome& r = outcome_.requests[i];
      if (r.how != RequestEnd::kCompleted) continue;
      for (; !busy.empty() && busy.top().first <= r.arrival; busy.pop())
        idle.insert(busy.top().second);
      if (idle.empty()) {
        const auto lane = static_cast<int32_t>(tracks.size());
        tracks.push_back(AddTrack(process, lane, "lane " + std::to_string(lane)));
        idle.insert(lane);
      }
      const int32_t lane = *idle.begin();
      idle.erase(idle.begin());
      busy.push({r.end, lane});
      const int32_t track = tracks[static_cast<size_t>(lane)];
      AddSpan(track, "request " + std::to_string(i), r.arrival, r.end);
      AddSpan(track, "queue", r.arrival, r.started);
      AddSpan(track, "prefill", r.started, r.first_token);
      AddSpan(track, "decode", r.first_token, r.end);
    }
  }

  const ServingRun& run_;
  const ServingOutcome& outcome_;
  Timeline timeline_;
};

}  // namespace

Timeline TimelineOf(const ServingRun& run, const ServingOutcome& outcome) {
  return Builder(run, outcome).Build();
}

}  // namespace moecast
