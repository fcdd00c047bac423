#include "sim/network/flows.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "base/check.h"

namespace moecast {
namespace {

// Indices in order of time, equal times in the order given.
template <class Row>
std::vector<size_t> InTime(std::span<const Row> rows, Time Row::*time) {
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return rows[a].*time < rows[b].*time; });
  return order;
}

// The same as EvenAllToAll where paths are not just two ports.
std::vector<Flow> PairByPair(std::span<const int> gpus, Bytes bytes, const Routes& routes, Time start) {
  std::vector<Flow> flows;
  for (const bool inside : {true, false}) {
    std::map<LinkId, int> paths;  // over each link
    int pairs = 0;
    for (const int from : gpus) {
      for (const int to : gpus) {
        if (from == to || routes.SameNode(from, to) != inside) continue;
        const Path path = routes.Between(from, to);
        MOECAST_CHECK(path.exists());
        for (const LinkId link : path.span()) ++paths[link];
        ++pairs;
      }
    }
    if (pairs == 0) continue;
    Flow& flow = flows.emplace_back(Flow{.start = start, .bytes = bytes, .multiplicity = pairs});
    for (const auto& [link, n] : paths) flow.links.push_back({link, static_cast<double>(n) / pairs});
  }
  return flows;
}

}  // namespace

Time FlowEnds::last() const {
  return end.empty() ? Time{} : *std::max_element(end.begin(), end.end());
}

FlowEnds RunFlows(Network& network, std::span<const Flow> flows, std::span<const CapacityChange> changes) {
  FlowEnds ends{.end = std::vector<Time>(flows.size(), kNever)};
  const std::vector<size_t> starts = InTime(flows, &Flow::start),
                            events = InTime(changes, &CapacityChange::at);
  std::vector<size_t> flow_of;  // by FlowId
  std::vector<FlowId> done;
  size_t started = 0, changed = 0, left = flows.size();
  while (left > 0) {
    const Time start = started < starts.size() ? flows[starts[started]].start : kNever;
    const Time change = changed < events.size() ? changes[events[changed]].at : kNever;
    const Time now = std::min({start, change, network.Next()});
    if (now == kNever) break;
    done.clear();
    network.Advance(now, done);
    left -= done.size();
    for (const FlowId id : done) ends.end[flow_of[static_cast<size_t>(id)]] = now;
    for (; changed < events.size() && changes[events[changed]].at == now; ++changed)
      network.SetCapacity(now, changes[events[changed]].link, changes[events[changed]].capacity);
    for (; started < starts.size() && flows[starts[started]].start == now; ++started) {
      const Flow& f = flows[starts[started]];
      network.Start(now, f.links, f.bytes, f.multiplicity);
      flow_of.push_back(starts[started]);
    }
  }
  if (left > 0) ends.blocked = network.Blocked();
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

std::vector<Flow> EvenAllToAll(std::span<const int> gpus, Bytes bytes, const Routes& routes, Time start) {
  const auto n = static_cast<int>(gpus.size());
  const auto local = static_cast<int>(
      std::ranges::count_if(gpus, [&](int gpu) { return routes.SameNode(gpus.front(), gpu); }));
  std::vector<Flow> flows;
  if (!routes.plain()) return PairByPair(gpus, bytes, routes, start);
  const auto add = [&](int peers, Port out, Port in) {
    if (peers <= 0) return;
    Flow& flow = flows.emplace_back(Flow{.start = start, .bytes = bytes, .multiplicity = n * peers});
    for (const int gpu : gpus)
      for (const Port port : {out, in}) flow.links.push_back({LinkOf(gpu, port), 1.0 / n});
  };
  add(local - 1, Port::kNvlinkOut, Port::kNvlinkIn);
  add(n - local, Port::kNicOut, Port::kNicIn);
  return flows;
}

std::vector<Bytes> BytesByLink(std::span<const Flow> flows, size_t links) {
  std::vector<Bytes> bytes(links);
  for (const Flow& f : flows)
    for (const LinkShare& s : f.links) bytes[s.link] += f.bytes * (s.share * f.multiplicity);
  return bytes;
}

}  // namespace moecast
