#include "sim/engine/event_loop.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <queue>
#include <tuple>

#include "base/check.h"
#include "sim/engine/dependents.h"
#include "sim/engine/lane_run.h"
#include "sim/engine/link_claims.h"
#include "sim/network/fluid_network.h"

namespace moecast {
namespace {

// Lanes run tasks, tasks programs, programs blocks. A lane is quiet while nothing else is on the
// links of its program's collectives: then all of it is known from where it began (QuietProgram),
// and only its end is an event. Where another is on these links too it is watched: each of its
// collectives looks around when it is sent. Where one is under way there both are woken: the block
// is run op by op up to now, what is left of its collectives goes on the network, and it is quiet
// again from the next block on.
class EventLoop {
 public:
  // `fluid`: the network, of so many links; null: all lanes are always awake.
  EventLoop(const LinkedSchedule& linked, Network& network, FluidNetwork* fluid, size_t links,
            std::vector<std::vector<BlockSpan>>* spans)
      : linked_(linked),
        schedule_(linked.schedule()),
        network_(network),
        fluid_(fluid),
        lazy_(fluid != nullptr),
        claims_(links),
        spans_(spans),
        lanes_(schedule_.lanes.size()),
        transfers_(lazy_ ? schedule_.dependencies.size() : 0),
        dependents_(schedule_),
        waits_for_(schedule_.program_of.size()),
        awaited_(lanes_.size() * kStreams + schedule_.dependencies.size()) {
    const size_t tasks = schedule_.program_of.size();
    const size_t edges = schedule_.dependencies.size();
    out_.timing.start.resize(tasks);
    out_.timing.end.resize(tasks);
    out_.timing.arrival.resize(edges);
    if (spans_) spans_->assign(tasks, {});
    for (size_t t = 0; t < tasks; ++t)
      waits_for_[t] = schedule_.dependency_begin[t + 1] - schedule_.dependency_begin[t];
    lane_of_.resize(tasks);
    int ranks = 0;
    for (size_t l = 0; l < lanes_.size(); ++l) {
      lanes_[l].linked = &linked;
      lanes_[l].rank = schedule_.lanes[l].rank;
      lanes_[l].next = schedule_.lane_begin[l];
      ranks = std::max(ranks, lanes_[l].rank + 1);
      for (int32_t t = schedule_.lane_begin[l]; t < schedule_.lane_begin[l + 1]; ++t)
        lane_of_[t] = static_cast<int32_t>(l);
    }
    quiet_.resize(static_cast<size_t>(ranks) * schedule_.programs.size());
  }

  NetworkedTiming Run() {
    for (size_t l = 0; l < lanes_.size(); ++l) StartNext(static_cast<int32_t>(l), Time{});
    std::vector<FlowTag> done;
    while (true) {
      const Time flow = network_.Next();
      const Time now = events_.empty() ? flow : std::min(flow, events_.top().at);
      if (now == kNever) break;
      if (flow == now) {
        done.clear();
        network_.Advance(now, done);
        for (const FlowTag waiting : done) FlowEnded(waiting, now);
      }
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
  enum class What : uint8_t {
    kQuietEnds,   // a quiet lane comes to a block that is to be run, or to the task's end
    kQuietSends,  // a watched lane's next collective
    kLaneGoesOn,  // a block that waits for collectives comes to where it may start another
    kLaneSends,
    kTransferSends,
    kTransferEnds,  // of one that is quiet
  };
  struct Event {
    Time at;
    int64_t order;  // in which they were foreseen
    What what;
    int32_t index;  // of a lane, of what waits on one (TagOf), or of a dependency
    bool operator>(const Event& o) const { return std::tie(at, order) > std::tie(o.at, o.order); }
  };
  int64_t Foresee(Time at, What what, int32_t index) {
    events_.push({at, foreseen_, what, index});
    return foreseen_++;
  }

  const QuietProgram& QuietOf(int rank, int32_t program) {
    std::unique_ptr<QuietProgram>& quiet =
        quiet_[static_cast<size_t>(rank) * schedule_.programs.size() +
               static_cast<size_t>(program)];
    if (!quiet)
      quiet = std::make_unique<QuietProgram>(linked_.Quiet(rank, schedule_.programs[program]));
    return *quiet;
  }
  void StartNext(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    if (lane.task >= 0 || lane.next == schedule_.lane_begin[l + 1] || waits_for_[lane.next] > 0)
      return;
    lane.task = lane.next++;
    lane.program = &QuietOf(lane.rank, schedule_.program_of[lane.task]);
    lane.shift = Seconds(0);
    lane.block = 0;
    lane.claim = 0;
    lane.slower = 1;
    if (!linked_.longer.empty() && lane.program->alone.value > 0)
      lane.slower = 1 + linked_.longer[lane.task] / lane.program->alone;
    lane.start = out_.timing.start[lane.task] = now;
    out_.flows += lane.program->flows;
    if (lazy_) Enter(l, lane.program->links, now);
    GoOn(l, now);
  }

  // From the beginning of its block on, which need not be now.
  void GoOn(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    const int32_t stop = StopOf(lane);
    lane.awake = stop == lane.block && stop < lane.blocks();
    if (lane.awake) {
      lane.Begin(spans_ != nullptr);
      return Proceed(l, now);
    }
    GoOnQuietly(l, stop, now);
  }
  void GoOnQuietly(int32_t l, int32_t stop, Time now) {
    LaneRun& lane = lanes_[l];
    lane.quiet_ends = Foresee(std::max(lane.QuietEnd(stop), now), What::kQuietEnds, l);
    if (lazy_) Watch(l, now);
  }

  // RunOn, with what starts foreseen.
  size_t RunOn(int32_t l, Time now, Seconds until, size_t ended) {
    LaneRun& lane = lanes_[l];
    size_t op = lane.run.RunOn(until, ended);
    for (; op < RunningBlock::kNone; op = lane.run.RunOn(until, ended)) {
      const int32_t stream = lane.Started(op);
      Foresee(std::max(now, lane.SentAt(stream)), What::kLaneSends, l * kStreams + stream);
    }
    return op;
  }

  // Runs on to the next thing that others can see. `until`, of the block: what RunOn takes, with
  // the collective that ends then.
  void Proceed(int32_t l, Time now, Seconds until = Seconds(0),
               size_t ended = RunningBlock::kNone) {
    LaneRun& lane = lanes_[l];
    lane.goes_on = -1;
    if (RunOn(l, now, until, ended) == RunningBlock::kWaits) return WaitOn(l, now);
    // What met nobody has taken what it takes alone, to the last bit.
    const LinkedBlock& block = lane.Block(lane.block);
    if (lane.run.now() != block.total) lane.shift += (lane.run.now() - block.total) * lane.slower;
    AddSpan(lane, lane.from, lane.spans);
    const bool ends_now = ended != RunningBlock::kNone && lane.run.last() == ended;
    if (++lane.block == lane.blocks() && ends_now) {
      lane.quiet_ends = Foresee(now, What::kQuietEnds, l);
      lane.awake = false;
      return;
    }
    GoOn(l, now);
  }

  // A collective of a lane that is awake ends.
  void CollectiveEnds(int32_t l, const LaneRun::Sent& sent, Time now) {
    LaneRun& lane = lanes_[l];
    Seconds until = lane.EndInBlock(sent, now);
    RunOn(l, now, until, RunningBlock::kNone);
    if (!sent.claim->settles || !lane.run.OnlyRuns(sent.op)) return Proceed(l, now, until, sent.op);
    // From here on the block is as alone, but for when.
    const Seconds end = sent.claim->end;
    if (until != end) lane.shift += (until - end) * lane.slower;
    lane.run.PutClock(end, until);
    const LinkedBlock& block = lane.Block(lane.block);
    if (!lazy_ || spans_ || block.loud || end == block.total) return Proceed(l, now, end, sent.op);
    const Seconds ended = lane.program->begins[lane.block] + end;
    const std::vector<LinkClaim>& claims = lane.program->claims;
    while (lane.claim < claims.size() && claims[lane.claim].sent < ended) ++lane.claim;
    lane.goes_on = -1;
    lane.awake = false;
    GoOnQuietly(l, StopOf(lane), now);
  }
  void WaitOn(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    const Seconds next = lane.run.Next();
    if (std::isfinite(next.value))
      lane.goes_on = Foresee(std::max(now, lane.TimeInBlock(next)), What::kLaneGoesOn, l);
  }

  // The first block from a lane's on that it does not run quietly.
  int32_t StopOf(const LaneRun& lane) const {
    const int32_t blocks = lane.blocks();
    if (lane.block == blocks) return blocks;
    if (lazy_) return lane.program->loud[lane.block];
    int32_t stop = lane.block;
    while (stop < blocks && lane.Block(stop).shared.empty()) ++stop;
    return stop;
  }
  void Happen(const Event& e, Time now) {
    switch (e.what) {
      case What::kQuietEnds:
        return QuietEnds(e, now);
      case What::kQuietSends:
        return QuietSends(e, now);
      case What::kLaneGoesOn: {
        const LaneRun& lane = lanes_[e.index];
        if (lane.goes_on == e.order) Proceed(e.index, now, lane.run.Next());
        return;
      }
      case What::kLaneSends: {
        LaneRun& lane = lanes_[e.index / kStreams];
        LaneRun::Sent& sent = lane.sent[static_cast<size_t>(e.index % kStreams)];
        const LinkedCollective& collective = lane.CollectiveOf(sent.op);
        sent.end = EndAlone(collective, lane.slower, now);
        return Send(collective, lane.slower, now, e.index, now);
      }
      case What::kTransferSends:
        return TransferSends(e.index, now);
      case What::kTransferEnds:
        if (transfers_[e.index].ends == e.order) TransferEnds(e.index, now);
        return;
    }
  }

  void QuietEnds(const Event& e, Time now) {
    LaneRun& lane = lanes_[e.index];
    if (lane.quiet_ends != e.order) return;
    lane.quiet_ends = lane.quiet_sends = -1;
    AddQuietSpans(lane, StopOf(lane));
    if (lane.block == lane.blocks()) return TaskEnds(e.index, now);
    GoOn(e.index, now);
  }

  void QuietSends(const Event& e, Time now) {
    LaneRun& lane = lanes_[e.index];
    if (lane.quiet_sends != e.order) return;
    lane.quiet_sends = -1;
    if (!claims_.Crowded(lane.program->links)) return;  // watched anew when another comes
    const LinkClaim& claim = lane.program->claims[lane.claim];
    const UnitCollective& unit = *lane.CollectiveOf(claim).unit;
    if (WakeOthers(unit, e.index, now)) return Wake(e.index, claim.block, now);
    PutClaim(e.index, lane.claim++, now);
    Watch(e.index, now);
  }

  // What a quiet lane has under way is put on its links, and its next collective foreseen, where
  // others may use the links.
  void Watch(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    if (lane.awake || lane.task < 0 || lane.quiet_ends < 0 || lane.quiet_sends >= 0 ||
        !claims_.Crowded(lane.program->links))
      return;
    const std::vector<LinkClaim>& claims = lane.program->claims;
    for (; lane.claim < claims.size(); ++lane.claim) {
      const LinkClaim& claim = claims[lane.claim];
      if (claim.block < lane.block || lane.IsOver(claim, now)) continue;
      const Time sent = lane.TimeOf(claim.sent);
      if (sent >= now) {
        lane.quiet_sends = Foresee(sent, What::kQuietSends, l);
        return;
      }
      PutClaim(l, lane.claim, now);
    }
  }
  // Unless it has ended.
  void PutClaim(int32_t l, size_t number, Time now) {
    const LaneRun& lane = lanes_[l];
    const LinkClaim& claim = lane.program->claims[number];
    const LinkedCollective& collective = lane.CollectiveOf(claim);
    const Time end = EndAlone(collective, lane.slower, lane.TimeOf(claim.sent));
    const int32_t stream = lane.StreamOf(claim);
    if (end > now)
      claims_.Put(*collective.unit, {.party = l,
                                     .tag = l * kStreams + stream,
                                     .claim = static_cast<int32_t>(number),
                                     .end = end});
  }

  // The party may use these links from now on.
  void Enter(int32_t party, std::span<const LinkId> links, Time now) {
    claims_.Enter(party, links);
    for (const LinkId link : links)
      for (const int32_t other : claims_.PartiesOn(link))
        if (other != party && other < static_cast<int32_t>(lanes_.size())) Watch(other, now);
  }

  // Whether other parties have collectives under way on the links of this one; they then run on the
  // network.
  bool WakeOthers(const UnitCollective& unit, int32_t party, Time now) {
    met_.clear();
    claims_.Meet(unit, party, now, met_);
    for (const LinkClaims::UnderWay& other : met_) {
      if (other.end == kNever) continue;
      if (const auto lanes = static_cast<int32_t>(lanes_.size()); other.party >= lanes)
        WakeTransfer(other.party - lanes, now);
      else if (!lanes_[other.party].awake)
        Wake(other.party, lanes_[other.party].program->claims[other.claim].block, now);
    }
    return !met_.empty();
  }

  // Runs the block that a quiet lane is in up to now, where nothing has met it.
  void Wake(int32_t l, int32_t block, Time now) {
    LaneRun& lane = lanes_[l];
    lane.quiet_ends = lane.quiet_sends = lane.goes_on = -1;
    lane.awake = true;
    AddQuietSpans(lane, block);
    lane.Begin(spans_ != nullptr);
    for (const int32_t stream : lane.RunUpTo(now)) {
      const LaneRun::Sent& sent = lane.sent[static_cast<size_t>(stream)];
      const LinkedCollective& collective = lane.CollectiveOf(sent.op);
      const Time at = lane.SentAt(stream);
      claims_.Drop(*collective.unit, l * kStreams + stream);
      if (at > now)
        Foresee(at, What::kLaneSends, l * kStreams + stream);
      else
        Resume(collective, lane.slower, at, l * kStreams + stream, now);
    }
    WaitOn(l, now);
  }

  // Flows are told apart by what waits for them: a stream of a lane whose op they are, or, behind
  // all lanes, a dependency. So are parties: by lane, or, behind all lanes, by dependency.
  FlowTag TagOf(int32_t dependency) const {
    return static_cast<FlowTag>(lanes_.size() * kStreams) + dependency;
  }
  int32_t PartyOf(FlowTag tag) const {
    return static_cast<int32_t>(
        tag < TagOf(0) ? tag / kStreams : tag - TagOf(0) + static_cast<FlowTag>(lanes_.size()));
  }

  void Send(const LinkedCollective& collective, double slower, Time sent, FlowTag waiting,
            Time now) {
    if (lazy_) WakeOthers(*collective.unit, PartyOf(waiting), now);
    Resume(collective, slower, sent, waiting, now);
  }
  // Puts on the network what is left of it.
  void Resume(const LinkedCollective& collective, double slower, Time sent, FlowTag waiting,
              Time now) {
    ServedAlone(collective, slower, sent, now, served_);
    // Nothing is left of one that puts nothing on links here, though it does on another rank, nor
    // of one that by rounding has ended just now: a start of nothing ends it.
    if (served_.empty()) network_.Start(now, {}, Bytes(0), 1, waiting);
    awaited_[static_cast<size_t>(waiting)] = std::max(1, static_cast<int32_t>(served_.size()));
    const double bytes = collective.bytes * collective.stretch * slower;
    for (const auto& [f, served] : served_) {
      const UnitFlow& flow = collective.unit->flows[f];
      if (fluid_)
        fluid_->Resume(now, flow.links, flow.bytes * bytes, served, flow.multiplicity, waiting);
      else
        network_.Start(now, flow.links, flow.bytes * bytes, flow.multiplicity, waiting);
    }
    if (lazy_)
      claims_.Put(*collective.unit,
                  {.party = PartyOf(waiting), .tag = waiting, .claim = -1, .end = kNever});
  }

  void FlowEnded(FlowTag waiting, Time now) {
    if (--awaited_[static_cast<size_t>(waiting)] > 0) return;
    if (waiting >= TagOf(0)) {
      const auto d = static_cast<int32_t>(waiting - TagOf(0));
      if (lazy_) claims_.Drop(*linked_.transfers[d].unit, waiting);
      return TransferEnds(d, now);
    }
    const auto l = static_cast<int32_t>(waiting / kStreams);
    const LaneRun& lane = lanes_[l];
    const LaneRun::Sent& sent = lane.sent[static_cast<size_t>(waiting % kStreams)];
    if (lazy_) claims_.Drop(*lane.CollectiveOf(sent.op).unit, waiting);
    CollectiveEnds(l, sent, now);
  }

  void TransferSends(int32_t d, Time now) {
    const LinkedCollective& transfer = linked_.transfers[d];
    for (const UnitFlow& flow : transfer.unit->flows) out_.flows += flow.multiplicity;
    if (!lazy_) return Send(transfer, 1, now, TagOf(d), now);
    const auto party = static_cast<int32_t>(lanes_.size()) + d;
    Enter(party, transfer.unit->meets, now);
    if (WakeOthers(*transfer.unit, party, now)) return Resume(transfer, 1, now, TagOf(d), now);
    const Time end = EndAlone(transfer, 1, now);
    transfers_[d] = {now, Foresee(end, What::kTransferEnds, d)};
    claims_.Put(*transfer.unit, {.party = party, .tag = TagOf(d), .claim = -1, .end = end});
  }
  void WakeTransfer(int32_t d, Time now) {
    if (transfers_[d].ends < 0) return;
    transfers_[d].ends = -1;
    const LinkedCollective& transfer = linked_.transfers[d];
    claims_.Drop(*transfer.unit, TagOf(d));
    Resume(transfer, 1, transfers_[d].sent, TagOf(d), now);
  }
  void TransferEnds(int32_t d, Time now) {
    if (lazy_)
      claims_.Leave(static_cast<int32_t>(lanes_.size()) + d, linked_.transfers[d].unit->meets);
    Arrive(d, now);
  }
  void TaskEnds(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    const int32_t task = lane.task;
    out_.timing.end[task] = now;
    out_.timing.total = std::max(out_.timing.total, now);
    if (lazy_) claims_.Leave(l, lane.program->links);
    lane.task = -1;
    for (const int32_t d : dependents_.Of(task)) {
      if (schedule_.dependencies[d].transfer < 0) {
        Arrive(d, now);
        continue;
      }
      Foresee(now + Time::From(linked_.transfers[d].alpha()), What::kTransferSends, d);
    }
    StartNext(l, now);
  }

  void Arrive(int32_t dependency, Time now) {
    out_.timing.arrival[dependency] = now;
    const int32_t task = dependents_.TaskOf(dependency);
    --waits_for_[task];
    if (lanes_[lane_of_[task]].next == task) StartNext(lane_of_[task], now);
  }

  // Of quiet blocks from a lane's to `stop`, which becomes its block.
  void AddQuietSpans(LaneRun& lane, int32_t stop) {
    for (; lane.block < stop; ++lane.block) {
      if (!spans_) continue;
      const LinkedBlock& block = lane.Block(lane.block);
      std::vector<OpSpan>& alone = spans_alone_[&block];
      if (alone.empty() && !block.shared.empty()) alone = SpansAlone(block);
      AddSpan(lane, lane.shift + lane.program->begins[lane.block] * lane.slower, alone);
    }
  }
  // Of a lane's block, which began `from` the task's start; `ops` in seconds of the program.
  void AddSpan(LaneRun& lane, Seconds from, std::span<const OpSpan> ops) {
    if (!spans_) return;
    const Seconds end = lane.shift + lane.program->begins[lane.block + 1] * lane.slower;
    BlockSpan& span = (*spans_)[lane.task].emplace_back(BlockSpan{from, end, {}});
    for (const OpSpan& op : ops) span.ops.push_back({op.start * lane.slower, op.end * lane.slower});
  }

  // A collective that a dependency transfers, alone so far.
  struct QuietTransfer {
    Time sent;
    int64_t ends = -1;  // the event, if that still holds
  };

  const LinkedSchedule& linked_;
  const Schedule& schedule_;
  Network& network_;
  FluidNetwork* const fluid_;
  const bool lazy_;
  LinkClaims claims_;
  std::vector<std::vector<BlockSpan>>* spans_;
  std::vector<LaneRun> lanes_;
  std::vector<QuietTransfer> transfers_;  // by dependency
  Dependents dependents_;
  std::vector<int32_t> waits_for_;  // by task: dependencies that are not there
  std::vector<int32_t> awaited_;    // by tag: flows that have not ended
  std::vector<int32_t> lane_of_;
  std::vector<std::unique_ptr<QuietProgram>> quiet_;  // by rank and program
  std::map<const LinkedBlock*, std::vector<OpSpan>> spans_alone_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  int64_t foreseen_ = 0;
  std::vector<std::pair<size_t, Bytes>> served_;  // memory of Resume
  std::vector<LinkClaims::UnderWay> met_;         // and of WakeOthers
  NetworkedTiming out_;
};

}  // namespace

NetworkedTiming RunOnNetwork(const LinkedSchedule& linked, Network& network,
                             std::vector<std::vector<BlockSpan>>* spans) {
  return EventLoop(linked, network, nullptr, 0, spans).Run();
}

NetworkedTiming RunShared(const LinkedSchedule& linked, std::span<const BytesPerSecond> capacity,
                          std::vector<std::vector<BlockSpan>>* spans) {
  FluidNetwork network(capacity);
  return EventLoop(linked, network, &network, capacity.size(), spans).Run();
}

}  // namespace moecast
