#include "sim/training/step_links.h"

#include <algorithm>

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

// visit(dependency, from, to) for each dependency that transfers, with the stages at its ends.
template <class Visit>
void EachTransfer(const Schedule& schedule, Visit visit) {
  std::vector<int> stage_of(schedule.program_of.size());
  for (size_t l = 0; l < schedule.lanes.size(); ++l)
    std::fill(stage_of.begin() + schedule.lane_begin[l],
              stage_of.begin() + schedule.lane_begin[l + 1], schedule.lanes[l].rank);
  for (size_t t = 0; t < schedule.program_of.size(); ++t) {
    for (int32_t d = schedule.dependency_begin[t]; d < schedule.dependency_begin[t + 1]; ++d) {
      const Dependency& on = schedule.dependencies[d];
      if (on.transfer >= 0) visit(d, stage_of[on.task], stage_of[t]);
    }
  }
}

}  // namespace

StepSenders SendersOf(const Step& step, StepExtent extent) {
  StepSenders senders{.extent = extent, .collectives = {}, .sends = {}};
  for (int stage = 0; stage < step.shape.stages; ++stage) {
    const auto add = [&](const StepBlock& block, StepFlows::Sender sender) {
      EachCollective(block.costed, [&](const CollectiveQuery& query) {
        const StepSenders::Collective c{stage, sender, query.kind, query.group, query.algorithm};
        auto& known = senders.collectives;
        if (std::find(known.begin(), known.end(), c) == known.end()) known.push_back(c);
      });
    };
    for (const auto& layer : step.blocks.layers) {
      if (!layer) continue;
      for (const StepBlock& pass : layer->passes) add(pass, StepFlows::Sender::kBlocks);
      for (const StepBlock& reduce : layer->grad_reduce)
        add(reduce, StepFlows::Sender::kDataParallel);
      for (const StepBlock& gather : layer->param_gather)
        add(gather, StepFlows::Sender::kDataParallel);
    }
  }
  const auto stages = static_cast<size_t>(step.shape.stages);
  std::vector<char> sends(stages * stages);
  EachTransfer(step.schedule(), [&](int32_t, int from, int to) {
    char& known = sends[static_cast<size_t>(from) * stages + static_cast<size_t>(to)];
    if (!known) senders.sends.push_back({from, to});
    known = 1;
  });
  return senders;
}

LinkedSchedule Linked(const Step& step, const StepFlows& flows) {
  LinkedSchedule linked(step.schedule(), step.blocks.size());
  const auto collective = [](const UnitCollective& unit, const CollectiveQuery& query,
                             Seconds time) {
    const double bytes = query.bytes.value;
    return LinkedCollective{&unit, bytes, time / (unit.alpha + unit.per_byte * bytes)};
  };
  const auto link = [&](int stage, int32_t id) {
    const StepBlock& block = step.blocks[id];
    LinkedBlock as_run;
    as_run.costed = &block.costed;
    as_run.alone = block.alone.total;
    bool any = false;
    for (size_t i = 0; i < block.costed.ops.size(); ++i) {
      const Seconds time = block.costed.costs[i].time;
      as_run.time.push_back(time);
      as_run.shared.emplace_back();
      // The gradient norm's one number over all ranks is nothing to share.
      const CollectiveQuery* query = CollectiveOf(block.costed.ops[i]);
      if (!query || query->group == GroupKind::kWorld) continue;
      if (!flows.IsShared(*query)) continue;
      as_run.shared.back() = collective(flows.Of(stage, *query), *query, time);
      any = true;
    }
    if (!any) as_run.shared.clear();
    linked.Set(stage, id, std::move(as_run));
  };
  const Schedule& schedule = step.schedule();
  for (size_t l = 0; l < schedule.lanes.size(); ++l)
    for (int32_t t = schedule.lane_begin[l]; t < schedule.lane_begin[l + 1]; ++t)
      for (const ProgramStep& part : schedule.programs[schedule.program_of[t]])
        if (!linked.Has(schedule.lanes[l].rank, part.block))
          link(schedule.lanes[l].rank, part.block);
  for (const ExcessOfTask& excess : step.excess)
    linked.longer.push_back(Longer(excess, step.times));
  linked.transfers.resize(schedule.dependencies.size());
  const StepBlock& send = step.blocks.send;
  const auto& query = std::get<CollectiveQuery>(send.costed.ops[0].query);
  EachTransfer(schedule, [&](int32_t dependency, int from, int to) {
    linked.transfers[dependency] =
        collective(flows.OfSend(from, to), query, send.costed.costs[0].time);
  });
  return linked;
}

ReplicaTimes CompareOnReplica(const Step& step, const NetworkMaker& first,
                              const NetworkMaker& second) {
  const StepFlows flows = FlowsOf(SendersOf(step, StepExtent::kReplica), *step.costs);
  const LinkedSchedule linked = Linked(step, flows);
  const auto run = [&](const NetworkMaker& make) {
    const std::unique_ptr<Network> network = make(flows.capacities());
    return RunOnNetwork(linked, *network);
  };
  const NetworkedTiming a = run(first), b = run(second);
  ReplicaTimes times{a.timing.total.seconds(), b.timing.total.seconds(), Seconds(0), a.flows};
  for (size_t t = 0; t < a.timing.end.size(); ++t) {
    const Time x = a.timing.end[t], y = b.timing.end[t];
    times.farthest = std::max(times.farthest, (x < y ? y - x : x - y).seconds());
  }
  return times;
}

}  // namespace moecast
