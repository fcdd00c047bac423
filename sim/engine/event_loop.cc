#include "sim/engine/event_loop.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "base/check.h"

namespace moecast {
namespace {

class EventLoop {
 public:
  EventLoop(const LinkedSchedule& linked, Network& network,
            std::vector<std::vector<BlockSpan>>* spans)
      : linked_(linked),
        schedule_(linked.schedule()),
        network_(network),
        spans_(spans),
        lanes_(schedule_.lanes.size()),
        waits_for_(schedule_.program_of.size()),
        awaited_(lanes_.size() + schedule_.dependencies.size()) {
    const size_t tasks = schedule_.program_of.size();
    const size_t edges = schedule_.dependencies.size();
    out_.timing.start.resize(tasks);
    out_.timing.end.resize(tasks);
    out_.timing.arrival.resize(edges);
    if (spans_) spans_->assign(tasks, {});
    lane_of_.resize(tasks);
    for (size_t l = 0; l < lanes_.size(); ++l) {
      lanes_[l].rank = schedule_.lanes[l].rank;
      lanes_[l].next = schedule_.lane_begin[l];
      for (int32_t t = schedule_.lane_begin[l]; t < schedule_.lane_begin[l + 1]; ++t)
        lane_of_[t] = static_cast<int32_t>(l);
    }
    SortDependencies();
  }

  NetworkedTiming Run() {
    for (size_t l = 0; l < lanes_.size(); ++l) StartNext(static_cast<int32_t>(l), Time{});
    std::vector<FlowTag> done;
    while (true) {
      const Time flow = network_.Next();
      const Time now = events_.empty() ? flow : std::min(flow, events_.top().at);
      if (now == kNever) break;
      done.clear();
      network_.Advance(now, done);
      for (const FlowTag waiting : done) FlowEnded(waiting, now);
      while (!events_.empty() && events_.top().at == now) {
        const Event e = events_.top();
        events_.pop();
        Happen(e, now);
      }
    }
    for (const LaneRun& lane : lanes_)
      MOECAST_CHECK(lane.task < 0 && lane.next == schedule_.lane_begin[&lane - lanes_.data() + 1]);
    return std::move(out_);
  }

 private:
  enum class What : uint8_t { kTaskEnds, kLaneSends, kTransferSends };
  struct Event {
    Time at;
    int64_t order;  // in which they were foreseen
    What what;
    int32_t index;  // of a lane or a dependency
    bool operator>(const Event& o) const { return std::tie(at, order) > std::tie(o.at, o.order); }
  };
  struct LaneRun {
    int rank = 0;
    int32_t next = 0;
    int32_t task = -1;          // running; -1: none
    size_t step = 0;            // of its program
    int32_t times = 0;          // that the step's block has run
    Seconds at;                 // from the task's start to that of the block
    double slower = 1;          // than its program
    std::vector<Seconds> time;  // by op of the block
    bool in_block = false;
    size_t op = 0;  // collective that runs
    RunningBlock run;
    std::vector<OpSpan> spans;
  };

  // By the task that they wait for: a counting sort.
  void SortDependencies() {
    const size_t tasks = schedule_.program_of.size();
    const size_t edges = schedule_.dependencies.size();
    follows_begin_.assign(tasks + 2, 0);
    task_of_.resize(edges);
    for (size_t t = 0; t < tasks; ++t) {
      const int32_t last = schedule_.dependency_begin[t + 1];
      for (int32_t d = schedule_.dependency_begin[t]; d < last; ++d) {
        task_of_[d] = static_cast<int32_t>(t);
        ++waits_for_[t];
        ++follows_begin_[schedule_.dependencies[d].task + 2];
      }
    }
    for (size_t t = 2; t < follows_begin_.size(); ++t) follows_begin_[t] += follows_begin_[t - 1];
    follows_.resize(edges);
    for (size_t d = 0; d < edges; ++d)
      follows_[follows_begin_[schedule_.dependencies[d].task + 1]++] = static_cast<int32_t>(d);
  }

  void Foresee(Time at, What what, int32_t index) { events_.push({at, foreseen_++, what, index}); }

  const Program& ProgramOf(const LaneRun& lane) const {
    return schedule_.programs[schedule_.program_of[lane.task]];
  }
  const LinkedBlock& BlockOf(const LaneRun& lane) const {
    return linked_.Of(lane.rank, ProgramOf(lane)[lane.step].block);
  }

  void StartNext(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    if (lane.task >= 0 || lane.next == schedule_.lane_begin[l + 1] || waits_for_[lane.next] > 0)
      return;
    lane.task = lane.next++;
    lane.step = 0;
    lane.times = 0;
    lane.at = Seconds(0);
    lane.slower = 1;
    if (!linked_.longer.empty()) {
      Seconds alone;
      for (const ProgramStep& step : ProgramOf(lane))
        alone += linked_.Of(lane.rank, step.block).alone * step.times;
      if (alone.value > 0) lane.slower = 1 + linked_.longer[lane.task] / alone;
    }
    out_.timing.start[lane.task] = now;
    Proceed(l);
  }

  // Runs on to the next thing that others can see.
  void Proceed(int32_t l, Seconds shared_end = Seconds(0)) {
    LaneRun& lane = lanes_[l];
    const Program& program = ProgramOf(lane);
    const Time start = out_.timing.start[lane.task];
    while (lane.step < program.size()) {
      const ProgramStep& step = program[lane.step];
      const LinkedBlock& block = linked_.Of(lane.rank, step.block);
      if (block.shared.empty()) {
        const Seconds alone = block.alone * lane.slower;
        for (int i = 0; spans_ && i < step.times; ++i)
          (*spans_)[lane.task].push_back({lane.at + alone * i, lane.at + alone * (i + 1), {}});
        lane.at += alone * step.times;
        ++lane.step;
        continue;
      }
      if (!lane.in_block) {
        lane.time = block.time;
        for (Seconds& t : lane.time) t = t * lane.slower;
        lane.run.Begin(*block.costed, lane.time, block.is_shared, spans_ ? &lane.spans : nullptr);
      }
      lane.in_block = true;
      lane.op = lane.run.RunOn(shared_end);
      if (lane.op != RunningBlock::kDone) {
        const LinkedCollective& shared = block.shared[lane.op];
        const Seconds alpha = shared.unit->alpha * (shared.stretch * lane.slower);
        Foresee(start + Time::From(lane.at + lane.run.now() + alpha), What::kLaneSends, l);
        return;
      }
      lane.in_block = false;
      if (spans_) (*spans_)[lane.task].push_back({lane.at, lane.at + lane.run.now(), lane.spans});
      lane.at += lane.run.now();
      if (++lane.times < step.times) continue;
      lane.times = 0;
      ++lane.step;
    }
    Foresee(start + Time::From(lane.at), What::kTaskEnds, l);
  }

  void Happen(const Event& e, Time now) {
    switch (e.what) {
      case What::kTaskEnds:
        return TaskEnds(e.index, now);
      case What::kLaneSends: {
        const LaneRun& lane = lanes_[e.index];
        return Send(BlockOf(lane).shared[lane.op], lane.slower, e.index, now);
      }
      case What::kTransferSends:
        return Send(linked_.transfers[e.index], 1, TagOf(e.index), now);
    }
  }

  // Flows are told apart by what waits for them: a lane whose op they are, or, behind all lanes, a
  // dependency.
  FlowTag TagOf(int32_t dependency) const {
    return static_cast<FlowTag>(lanes_.size()) + dependency;
  }

  void Send(const LinkedCollective& collective, double slower, FlowTag waiting, Time now) {
    awaited_[static_cast<size_t>(waiting)] = static_cast<int32_t>(collective.unit->flows.size());
    const double bytes = collective.bytes * collective.stretch * slower;
    for (const UnitFlow& flow : collective.unit->flows) {
      network_.Start(now, flow.links, flow.bytes * bytes, flow.multiplicity, waiting);
      out_.flows += flow.multiplicity;
    }
  }

  void FlowEnded(FlowTag waiting, Time now) {
    if (--awaited_[static_cast<size_t>(waiting)] > 0) return;
    if (waiting >= TagOf(0)) return Arrive(static_cast<int32_t>(waiting - TagOf(0)), now);
    const auto l = static_cast<int32_t>(waiting);
    const LaneRun& lane = lanes_[l];
    Proceed(l, (now - out_.timing.start[lane.task]).seconds() - lane.at);
  }

  void TaskEnds(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    const int32_t task = lane.task;
    out_.timing.end[task] = now;
    out_.timing.total = std::max(out_.timing.total, now);
    lane.task = -1;
    for (int32_t i = follows_begin_[task]; i < follows_begin_[task + 1]; ++i) {
      const int32_t d = follows_[i];
      if (schedule_.dependencies[d].transfer < 0) {
        Arrive(d, now);
        continue;
      }
      const LinkedCollective& transfer = linked_.transfers[d];
      Foresee(now + Time::From(transfer.unit->alpha * transfer.stretch), What::kTransferSends, d);
    }
    StartNext(l, now);
  }

  void Arrive(int32_t dependency, Time now) {
    out_.timing.arrival[dependency] = now;
    const int32_t task = task_of_[dependency];
    --waits_for_[task];
    if (lanes_[lane_of_[task]].next == task) StartNext(lane_of_[task], now);
  }

  const LinkedSchedule& linked_;
  const Schedule& schedule_;
  Network& network_;
  std::vector<std::vector<BlockSpan>>* spans_;
  std::vector<LaneRun> lanes_;
  std::vector<int32_t> waits_for_;  // by task: dependencies that are not there
  std::vector<int32_t> lane_of_;
  std::vector<int32_t> task_of_;  // by dependency
  std::vector<int32_t> follows_begin_;
  std::vector<int32_t> follows_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  int64_t foreseen_ = 0;
  std::vector<int32_t> awaited_;  // by tag: flows that have not ended
  NetworkedTiming out_;
};

}  // namespace

LinkedSchedule::LinkedSchedule(const Schedule& schedule, int32_t blocks)
    : schedule_(&schedule), block_count_(blocks) {
  int ranks = 0;
  for (const Lane& lane : schedule.lanes) ranks = std::max(ranks, lane.rank + 1);
  index_.assign(static_cast<size_t>(ranks) * static_cast<size_t>(blocks), -1);
}

void LinkedSchedule::Set(int rank, int32_t block, LinkedBlock linked) {
  int32_t& at = index_[Key(rank, block)];
  MOECAST_CHECK(at < 0);
  at = static_cast<int32_t>(blocks_.size());
  for (const LinkedCollective& shared : linked.shared)
    linked.is_shared.push_back(shared.unit != nullptr);
  blocks_.push_back(std::move(linked));
}

NetworkedTiming RunOnNetwork(const LinkedSchedule& linked, Network& network,
                             std::vector<std::vector<BlockSpan>>* spans) {
  return EventLoop(linked, network, spans).Run();
}

}  // namespace moecast
