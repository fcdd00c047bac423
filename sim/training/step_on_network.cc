#include "sim/training/step_on_network.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "base/check.h"

namespace moecast {
namespace {

const CollectiveQuery* CollectiveOf(const Op& op) {
  const auto* query = std::get_if<CollectiveQuery>(&op.query);
  return query && query->bytes.value > 0 ? query : nullptr;
}

// Visits the collectives of ops.
template <class Visit>
void EachCollective(const CostedOps& costed, Visit visit) {
  for (const Op& op : costed.ops)
    if (const CollectiveQuery* query = CollectiveOf(op)) visit(*query);
}

// What a lane runs at a stretch.
struct Piece {
  const CostedOps* ops = nullptr;  // null: nothing but time
  std::vector<Seconds> time;       // by op
  std::vector<char> shared;        // by op; empty where none is
  Seconds alone;                   // all of it
};

struct Repeated {
  int piece = 0, count = 1;
};

class Runner {
 public:
  Runner(const PreparedStep& step, const StepFlows& flows, Network& network,
         std::vector<std::vector<PieceSpans>>* spans)
      : step_(step),
        flows_(flows),
        network_(network),
        spans_(spans),
        schedule_(step.schedule()),
        programs_(static_cast<size_t>(step.durations().size())),
        lanes_(schedule_.lanes.size()),
        waits_for_(schedule_.tasks.size()) {
    const size_t tasks = schedule_.tasks.size(), edges = schedule_.dependencies.size();
    out_.timing.start.resize(tasks);
    out_.timing.end.resize(tasks);
    out_.timing.arrival.resize(edges);
    if (spans_) spans_->assign(tasks, {});
    lane_of_.resize(tasks);
    for (size_t l = 0; l < lanes_.size(); ++l) {
      lanes_[l].stage = schedule_.lanes[l].rank;
      lanes_[l].next = schedule_.lane_begin[l];
      for (int32_t t = schedule_.lane_begin[l]; t < schedule_.lane_begin[l + 1]; ++t)
        lane_of_[t] = static_cast<int32_t>(l);
    }
    // Counting sort of the dependencies by the task that they wait for.
    follows_begin_.assign(tasks + 2, 0);
    task_of_.resize(edges);
    for (size_t t = 0; t < tasks; ++t)
      for (int32_t d = schedule_.dependency_begin[t]; d < schedule_.dependency_begin[t + 1]; ++d) {
        task_of_[d] = static_cast<int32_t>(t);
        ++waits_for_[t];
        ++follows_begin_[schedule_.dependencies[d].task + 2];
      }
    for (size_t t = 2; t < follows_begin_.size(); ++t) follows_begin_[t] += follows_begin_[t - 1];
    follows_.resize(edges);
    for (size_t d = 0; d < edges; ++d)
      follows_[follows_begin_[schedule_.dependencies[d].task + 1]++] = static_cast<int32_t>(d);
  }

  NetworkedStep Run() {
    for (size_t l = 0; l < lanes_.size(); ++l) StartNext(static_cast<int32_t>(l), Time{});
    std::vector<FlowId> done;
    while (true) {
      const Time flow = network_.Next();
      const Time now = events_.empty() ? flow : std::min(flow, events_.top().at);
      if (now == kNever) break;
      done.clear();
      network_.Advance(now, done);
      for (const FlowId id : done) FlowEnded(id, now);
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
  // Flows that together end an op of a lane, or let a dependency's task start.
  struct Waiting {
    What what{};
    int32_t index = 0;
    int32_t flows = 0;
  };
  struct LaneRun {
    int stage = 0;
    int32_t next = 0, task = -1;  // running; -1: none
    size_t part = 0;              // of its program
    int count = 0;                // of the part that are done
    Seconds at;                   // from the task's start to that of the piece
    double slower = 1;            // than at the mean load of the experts
    std::vector<Seconds> time;    // by op of the piece
    bool in_piece = false;
    size_t op = 0;  // collective that runs
    RunningBlock run;
    std::vector<OpSpan> spans;
  };

  void Foresee(Time at, What what, int32_t index) { events_.push({at, foreseen_++, what, index}); }

  void StartNext(int32_t l, Time now) {
    LaneRun& lane = lanes_[l];
    if (lane.task >= 0 || lane.next == schedule_.lane_begin[l + 1] || waits_for_[lane.next] > 0) return;
    lane.task = lane.next++;
    lane.part = 0;
    lane.count = 0;
    lane.at = Seconds(0);
    Seconds alone;
    for (const Repeated& part : ProgramOf(lane)) alone += pieces_[part.piece].alone * part.count;
    lane.slower = alone.value > 0 ? 1 + step_.Longer(lane.task) / alone : 1;
    out_.timing.start[lane.task] = now;
    Proceed(l);
  }

  // Runs on to the next thing that others can see.
  void Proceed(int32_t l, Seconds shared_end = Seconds(0)) {
    LaneRun& lane = lanes_[l];
    const std::vector<Repeated>& program = ProgramOf(lane);
    const Time start = out_.timing.start[lane.task];
    while (lane.part < program.size()) {
      const Repeated& part = program[lane.part];
      const Piece& piece = pieces_[part.piece];
      if (piece.shared.empty()) {
        const Seconds alone = piece.alone * lane.slower;
        for (int i = 0; spans_ && i < part.count; ++i)
          (*spans_)[lane.task].push_back({lane.at + alone * i, lane.at + alone * (i + 1), {}});
        lane.at += alone * part.count;
        ++lane.part;
        continue;
      }
      if (!lane.in_piece) {
        lane.time = piece.time;
        for (Seconds& t : lane.time) t = t * lane.slower;
        lane.run.Begin(*piece.ops, lane.time, piece.shared, spans_ ? &lane.spans : nullptr);
      }
      lane.in_piece = true;
      lane.op = lane.run.RunOn(shared_end);
      if (lane.op != RunningBlock::kDone) {
        const UnitCollective& unit = UnitOf(lane);
        Foresee(start + Time::From(lane.at + lane.run.now() + unit.alpha * Stretch(unit, lane)),
                What::kLaneSends, l);
        return;
      }
      lane.in_piece = false;
      if (spans_) (*spans_)[lane.task].push_back({lane.at, lane.at + lane.run.now(), lane.spans});
      lane.at += lane.run.now();
      if (++lane.count < part.count) continue;
      lane.count = 0;
      ++lane.part;
    }
    Foresee(start + Time::From(lane.at), What::kTaskEnds, l);
  }

  const Piece& PieceOf(const LaneRun& lane) { return pieces_[ProgramOf(lane)[lane.part].piece]; }
  const CollectiveQuery& QueryOf(const LaneRun& lane) {
    return std::get<CollectiveQuery>(PieceOf(lane).ops->ops[lane.op].query);
  }
  const UnitCollective& UnitOf(const LaneRun& lane) { return flows_.Of(lane.stage, QueryOf(lane)); }
  // How much longer it takes than its traffic alone: an era's software, and the slowest rank's bytes.
  double Stretch(const UnitCollective& unit, const LaneRun& lane) {
    return lane.time[lane.op] / (unit.alpha + unit.per_byte * QueryOf(lane).bytes.value);
  }

  void Happen(const Event& e, Time now) {
    switch (e.what) {
      case What::kTaskEnds:
        return TaskEnds(e.index, now);
      case What::kLaneSends: {
        const LaneRun& lane = lanes_[e.index];
        const UnitCollective& unit = UnitOf(lane);
        return Send(unit, QueryOf(lane).bytes.value * Stretch(unit, lane), {e.what, e.index}, now);
      }
      case What::kTransferSends: {
        const UnitCollective& unit = SendOf(e.index);
        return Send(unit, SendBytes() * SendStretch(unit), {e.what, e.index}, now);
      }
    }
  }

  void Send(const UnitCollective& unit, double bytes, Waiting waiting, Time now) {
    waiting.flows = static_cast<int32_t>(unit.flows.size());
    const auto index = static_cast<int32_t>(waiting_.size());
    waiting_.push_back(waiting);
    for (const UnitFlow& flow : unit.flows) {
      const FlowId id = network_.Start(now, flow.links, flow.bytes * bytes, flow.multiplicity);
      MOECAST_CHECK(id == static_cast<FlowId>(waiting_of_.size()));
      waiting_of_.push_back(index);
      out_.flows += flow.multiplicity;
    }
  }

  void FlowEnded(FlowId id, Time now) {
    const Waiting w = waiting_[waiting_of_[static_cast<size_t>(id)]];
    if (--waiting_[waiting_of_[static_cast<size_t>(id)]].flows > 0) return;
    if (w.what == What::kTransferSends) return Arrive(w.index, now);
    LaneRun& lane = lanes_[w.index];
    Proceed(w.index, (now - out_.timing.start[lane.task]).seconds() - lane.at);
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
      const UnitCollective& unit = SendOf(d);
      Foresee(now + Time::From(unit.alpha * SendStretch(unit)), What::kTransferSends, d);
    }
    StartNext(l, now);
  }

  void Arrive(int32_t dependency, Time now) {
    out_.timing.arrival[dependency] = now;
    const int32_t task = task_of_[dependency];
    --waits_for_[task];
    if (lanes_[lane_of_[task]].next == task) StartNext(lane_of_[task], now);
  }

  const UnitCollective& SendOf(int32_t dependency) const {
    return flows_.OfSend(lanes_[lane_of_[schedule_.dependencies[dependency].task]].stage,
                         lanes_[lane_of_[task_of_[dependency]]].stage);
  }
  double SendBytes() const { return std::get<CollectiveQuery>(step_.send().ops[0].query).bytes.value; }
  double SendStretch(const UnitCollective& unit) const {
    return step_.send().costs[0].time / (unit.alpha + unit.per_byte * SendBytes());
  }

  // The piece of these ops, the same for the same ones.
  int PieceOf(const CostedOps& ops, Seconds alone) {
    for (size_t i = 0; i < pieces_.size(); ++i)
      if (pieces_[i].ops == &ops) return static_cast<int>(i);
    Piece piece{.ops = &ops, .time = {}, .shared = {}, .alone = alone};
    bool any = false;
    for (size_t i = 0; i < ops.ops.size(); ++i) {
      piece.time.push_back(ops.costs[i].time);
      const CollectiveQuery* query = CollectiveOf(ops.ops[i]);
      bool shared = false;
      for (int s = 0; query && s < step_.shape().stages; ++s) shared = shared || flows_.IsShared(s, *query);
      piece.shared.push_back(shared);
      any = any || shared;
    }
    if (!any) piece.shared.clear();
    pieces_.push_back(std::move(piece));
    return static_cast<int>(pieces_.size()) - 1;
  }
  int PieceOf(Seconds time) {
    pieces_.push_back({.ops = nullptr, .time = {}, .shared = {}, .alone = time});
    return static_cast<int>(pieces_.size()) - 1;
  }

  const std::vector<Repeated>& ProgramOf(const LaneRun& lane) {
    const Task& task = schedule_.tasks[lane.task];
    std::vector<Repeated>& program = programs_[task.block];
    if (program.empty()) program = BuildProgram(lane.stage, task);
    return program;
  }

  std::vector<Repeated> BuildProgram(int stage, const Task& task) {
    std::vector<Repeated> program;
    const auto pass = [&](BlockKind kind, Pass p, int count) {
      program.push_back({PieceOf(step_.Costed(kind, p), step_.Solved(kind, p).total), count});
    };
    const auto whole = [&](const CostedOps& ops) {
      Seconds alone;
      for (const Cost& c : ops.costs) alone += c.time;
      program.push_back({PieceOf(ops, alone), 1});
    };
    switch (task.phase) {
      case Phase::kGradNorm:
        program.push_back({PieceOf(step_.GradNormTime(stage)), 1});
        return program;
      case Phase::kOptimizer:
        program.push_back({PieceOf(step_.OptimizerTime(stage)), 1});
        return program;
      case Phase::kGradReduce:
      case Phase::kParamGather: {
        const BlockKind kind = step_.BlocksOfTask(stage, task.chunk, task.part).front().kind;
        whole(task.phase == Phase::kGradReduce ? step_.GradReduce(kind) : step_.ParamGather(kind));
        return program;
      }
      case Phase::kForwardBackward: {
        const size_t pair = step_.PairOf(step_.pipeline().virtual_stage(step_.shape(), stage, task.chunk));
        program.push_back({PieceOf(step_.pairs()[pair].costed, step_.SolvedPair(pair).total), 1});
        return program;
      }
      default:
        break;
    }
    StageBlocks blocks = step_.BlocksOfTask(stage, task.chunk, task.part);
    if (task.phase != Phase::kForward) std::reverse(blocks.begin(), blocks.end());
    for (const BlockRun& run : blocks) {
      if (task.phase == Phase::kForward) pass(run.kind, Pass::kForward, run.count);
      if (task.phase == Phase::kBackward) pass(run.kind, Pass::kBackward, run.count);
      if (task.phase == Phase::kWeight) pass(run.kind, Pass::kWeight, run.count);
      for (int i = 0; i < run.count && task.phase == Phase::kFullBackward; ++i) {
        pass(run.kind, Pass::kBackward, 1);
        pass(run.kind, Pass::kWeight, 1);
      }
    }
    // An empty virtual stage takes no time.
    if (program.empty()) program.push_back({PieceOf(Seconds(0)), 1});
    return program;
  }

  const PreparedStep& step_;
  const StepFlows& flows_;
  Network& network_;
  std::vector<std::vector<PieceSpans>>* spans_;
  const Schedule& schedule_;
  std::vector<Piece> pieces_;
  std::vector<std::vector<Repeated>> programs_;  // by Task::block; empty: not yet looked at
  std::vector<LaneRun> lanes_;
  std::vector<int32_t> waits_for_;  // by task: dependencies that are not there
  std::vector<int32_t> lane_of_, task_of_, follows_begin_, follows_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  int64_t foreseen_ = 0;
  std::vector<Waiting> waiting_;
  std::vector<int32_t> waiting_of_;  // by flow
  NetworkedStep out_;
};

}  // namespace

StepFlows FlowsOf(const PreparedStep& step, OpCosts& costs, StepExtent extent) {
  StepFlows flows(extent);
  const PipelineShape& shape = step.shape();
  for (int s = 0; s < shape.stages; ++s) {
    const auto add = [&](const CostedOps& ops, StepFlows::Sender sender) {
      EachCollective(ops, [&](const CollectiveQuery& query) { flows.Add(s, sender, query, costs); });
    };
    for (int k = 0; k < kBlockKinds; ++k) {
      const auto kind = static_cast<BlockKind>(k);
      if (!step.Has(kind)) continue;
      for (int p = 0; p < kPasses; ++p)
        add(step.Costed(kind, static_cast<Pass>(p)), StepFlows::Sender::kBlocks);
      add(step.GradReduce(kind), StepFlows::Sender::kDataParallel);
      add(step.ParamGather(kind), StepFlows::Sender::kDataParallel);
    }
  }
  const Schedule& schedule = step.schedule();
  for (size_t t = 0; t < schedule.tasks.size(); ++t)
    for (int32_t d = schedule.dependency_begin[t]; d < schedule.dependency_begin[t + 1]; ++d)
      if (schedule.dependencies[d].transfer >= 0)
        flows.AddSend(schedule.lanes[schedule.LaneOf(schedule.dependencies[d].task)].rank,
                      schedule.lanes[schedule.LaneOf(static_cast<int32_t>(t))].rank, costs);
  flows.FindShared();
  return flows;
}

NetworkedStep RunOnNetwork(const PreparedStep& step, const StepFlows& flows, Network& network,
                           std::vector<std::vector<PieceSpans>>* spans) {
  return Runner(step, flows, network, spans).Run();
}

ReplicaTimes CompareOnReplica(const PreparedStep& step, OpCosts& costs, const NetworkMaker& first,
                              const NetworkMaker& second) {
  const StepFlows flows = FlowsOf(step, costs, StepExtent::kReplica);
  const auto run = [&](const NetworkMaker& make) {
    const std::unique_ptr<Network> network = make(flows.capacities());
    return RunOnNetwork(step, flows, *network);
  };
  const NetworkedStep a = run(first), b = run(second);
  ReplicaTimes times{a.timing.total.seconds(), b.timing.total.seconds(), Seconds(0), a.flows};
  for (size_t t = 0; t < a.timing.end.size(); ++t) {
    const Time x = a.timing.end[t], y = b.timing.end[t];
    times.farthest = std::max(times.farthest, (x < y ? y - x : x - y).seconds());
  }
  return times;
}

}  // namespace moecast
