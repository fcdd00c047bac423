#include "sim/network/flows.h"

#include <algorithm>
#include <map>

#include "base/check.h"

namespace moecast {
namespace {

// Of all flows that the start is.
Bytes BytesOn(const LinkShare& s, const Flow& f) {
  return f.bytes * (s.share * static_cast<double>(f.multiplicity));
}

}  // namespace

ChainEnds RunChains(Network& network, size_t links, std::span<const FlowChain> chains,
                    std::span<const CapacityChange> changes) {
  std::vector<CapacityChange> in_time(changes.begin(), changes.end());
  std::ranges::stable_sort(in_time, {}, &CapacityChange::at);
  ChainEnds ends{.end = std::vector<Time>(chains.size(), kNever),
                 .carried = std::vector<Bytes>(links)};
  struct State {
    size_t next = 0;  // stage
    size_t left = 0;  // flows of the stage before
  };
  std::vector<State> states(chains.size());
  // Neighbours in a chain's stage that start together.
  struct Batch {
    size_t chain;
    size_t first;
    size_t count;
  };
  std::multimap<Time, Batch> to_start;  // of one time in the order they were put there
  // Of a chain one stage is under way, so that a flow is told by its chain and its place there.
  constexpr int kPlaceBits = 40;
  const auto stage_of = [&](size_t c) -> const std::vector<Flow>& {
    return chains[c].stages[states[c].next - 1];
  };
  // The chain's next stage, or its end.
  const auto go_on = [&](size_t c, Time now) {
    State& state = states[c];
    const auto& stages = chains[c].stages;
    while (state.next < stages.size() && stages[state.next].empty()) ++state.next;
    if (state.next == stages.size()) {
      if (!chains[c].endless) ends.end[c] = now;
      return;
    }
    const std::vector<Flow>& stage = stages[state.next++];
    state.left = stage.size();
    for (size_t first = 0, last = 0; first < stage.size(); first = last) {
      while (last < stage.size() && stage[last].start == stage[first].start) ++last;
      to_start.emplace(now + stage[first].start, Batch{c, first, last - first});
    }
  };
  for (size_t c = 0; c < chains.size(); ++c) {
    MOECAST_CHECK(chains[c].even.empty());
    go_on(c, Time{});
  }

  std::vector<FlowTag> done;
  size_t changed = 0;
  size_t alive = 0;
  while (alive > 0 || !to_start.empty()) {
    const Time start = to_start.empty() ? kNever : to_start.begin()->first;
    const Time change = changed < in_time.size() ? in_time[changed].at : kNever;
    const Time now = std::min({start, change, network.Next()});
    if (now == kNever) break;
    done.clear();
    network.Advance(now, done);
    alive -= done.size();
    for (const FlowTag tag : done) {
      const auto c = static_cast<size_t>(tag >> kPlaceBits);
      const Flow& f = stage_of(c)[static_cast<size_t>(tag) % (size_t{1} << kPlaceBits)];
      for (const LinkShare& s : f.links) ends.carried[s.link] += BytesOn(s, f);
      ends.last = now;
      if (--states[c].left == 0) go_on(c, now);
    }
    for (; changed < in_time.size() && in_time[changed].at == now; ++changed)
      network.SetCapacity(now, in_time[changed].link, in_time[changed].capacity);
    while (!to_start.empty() && to_start.begin()->first == now) {
      const auto [c, first, count] = to_start.begin()->second;
      to_start.erase(to_start.begin());
      alive += count;
      for (size_t i = first; i < first + count; ++i) {
        const Flow& f = stage_of(c)[i];
        network.Start(now, f.links, f.bytes, f.multiplicity,
                      static_cast<FlowTag>(c << kPlaceBits | i));
      }
    }
  }
  if (alive > 0) ends.blocked = network.Blocked();
  return ends;
}

std::vector<Flow> FlowsOf(const Traffic& traffic, const Cluster& cluster, Time start) {
  const LinkCosts costs = LinkCostsOf(traffic, cluster);
  std::vector<Flow> flows;
  flows.reserve(traffic.paths.size());
  for (const PathLoad& p : traffic.paths) {
    flows.push_back({.start = start, .bytes = p.bytes * costs.of(cluster, p.path)});
    for (const LinkId link : p.path.span()) flows.back().links.push_back({link});
  }
  return flows;
}

Flow InStep(const Traffic& traffic, const Cluster& cluster, Time start) {
  const LinkCosts costs = LinkCostsOf(traffic, cluster);
  Flow flow{.start = start};
  const auto taken = [&](const LinkLoad& l) { return l.bytes * costs.of(cluster, l.link); };
  for (const LinkLoad& l : traffic.loads) flow.bytes = std::max(flow.bytes, taken(l));
  for (const LinkLoad& l : traffic.loads) flow.links.push_back({l.link, taken(l) / flow.bytes});
  return flow;
}

}  // namespace moecast
