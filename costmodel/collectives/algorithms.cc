#include "costmodel/collectives/algorithms.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace moecast {
namespace {

using Call = CollectiveCall;
using enum CollectiveKind;
using OneTransport = Traffic (*)(Group, Bytes, const Routes&, Transport);
using Whole = Traffic (*)(Group, Bytes, const Routes&);
using InParts = Parts (*)(Group, Bytes, const Routes&);
using Tokens = std::vector<EvenSends> (*)(Group, Bytes, const TokenSpread&, const Routes&);

template <OneTransport kRun, Transport kTransport>
Parts By(const Call& c, const Routes& routes) {
  return {kRun(c.group, c.bytes, routes, kTransport)};
}
template <Whole kRun>
Parts Of(const Call& c, const Routes& routes) {
  return {kRun(c.group, c.bytes, routes)};
}
template <InParts kRun>
Parts Of(const Call& c, const Routes& routes) {
  return kRun(c.group, c.bytes, routes);
}
template <Tokens kRun>
std::vector<EvenSends> Even(const Call& c, const Routes& routes) {
  return kRun(c.group, c.bytes, c.spread, routes);
}
template <Tokens kRun>
Parts Of(const Call& c, const Routes& routes) {
  return WrittenOut(c.group, Even<kRun>(c, routes), routes);
}
Parts SendHalves(const Call& c, const Routes& routes) {
  MOECAST_CHECK(c.group.size() % 2 == 0);
  const Group all(c.group);
  const Group from = all.first(all.size() / 2);
  const Group to = all.last(all.size() / 2);
  return {Send(from, to, c.bytes, routes)};
}

constexpr auto kBulk = Transport::kBulk, kLines = Transport::kLines, kChunks = Transport::kChunks;
constexpr std::string_view
    kRingHelp = "ring of large pieces (NCCL, protocol Simple)",
    kLinesHelp = "ring of lines that carry their flags, for few bytes (NCCL, LL)",
    kChunksHelp =
        "ring of the pieces that a GEMM hands over as its tiles end (Transformer Engine's "
        "userbuffers)",
    kNvlsHelp = "the NVSwitch adds and copies (NCCL, NVLS); one node",
    kLevelsHelp = "inside nodes and between them, one after the other",
    kDirectHelp = "from every rank straight to every other",
    kTwoHopHelp = "once to each node over the network, then NVLink, both at once (DeepEP)",
    kStoreHelp = "the same, NVLink when the network is done",
    kRdmaHelp = "each copy straight to its expert's rank, for few tokens (DeepEP, low latency)";

constexpr CollectiveAlgorithm kAlgorithms[] = {
    {kAllGather, "ring", kRingHelp, true, Needs::kNothing, By<RingAllGather, kBulk>},
    {kAllGather, "ring-ll", kLinesHelp, true, Needs::kNothing, By<RingAllGather, kLines>},
    {kAllGather, "ring-chunks", kChunksHelp, false, Needs::kNothing, By<RingAllGather, kChunks>},
    {kAllGather, "nvls", kNvlsHelp, true, Needs::kOneNode, Of<NvlsAllGather>},
    {kAllGather, "hierarchical", kLevelsHelp, false, Needs::kEvenNodes, Of<HierarchicalAllGather>},
    {kReduceScatter, "ring", kRingHelp, true, Needs::kNothing, By<RingReduceScatter, kBulk>},
    {kReduceScatter, "ring-ll", kLinesHelp, true, Needs::kNothing, By<RingReduceScatter, kLines>},
    {kReduceScatter, "ring-chunks", kChunksHelp, false, Needs::kNothing,
     By<RingReduceScatter, kChunks>},
    {kReduceScatter, "nvls", kNvlsHelp, true, Needs::kOneNode, Of<NvlsReduceScatter>},
    {kReduceScatter, "hierarchical", kLevelsHelp, false, Needs::kEvenNodes,
     Of<HierarchicalReduceScatter>},
    {kAllReduce, "ring", kRingHelp, true, Needs::kNothing, By<RingAllReduce, kBulk>},
    {kAllReduce, "ring-ll", kLinesHelp, true, Needs::kNothing, By<RingAllReduce, kLines>},
    {kAllReduce, "ring-chunks", kChunksHelp, false, Needs::kNothing, By<RingAllReduce, kChunks>},
    {kAllReduce, "tree", "up and down a tree of nodes, lines, for few bytes (NCCL)", true,
     Needs::kNothing, Of<TreeAllReduce>},
    {kAllReduce, "nvls", kNvlsHelp, true, Needs::kOneNode, Of<NvlsAllReduce>},
    {kAllReduce, "one-shot",
     "every rank reads the others' buffers whole (vLLM's custom all-reduce)", false,
     Needs::kOneNode, Of<OneShotAllReduce>, nullptr, SentOnce::kPerDevice, true},
    {kAllReduce, "two-shot", "every rank adds its part, then reads the others' (the same)", false,
     Needs::kOneNode, Of<TwoShotAllReduce>, nullptr, SentOnce::kPerDevice, true},
    {kAllReduce, "hierarchical", kLevelsHelp, false, Needs::kEvenNodes, Of<HierarchicalAllReduce>},
    {kBroadcast, "ring", kRingHelp, true, Needs::kNothing, By<RingBroadcast, kBulk>},
    {kBroadcast, "ring-ll", kLinesHelp, true, Needs::kNothing, By<RingBroadcast, kLines>},
    {kAllToAll, "direct", kDirectHelp, true, Needs::kNothing, Of<DirectAllToAll>,
     Even<DirectAllToAll>},
    {kAllToAll, "two-hop", kTwoHopHelp, false, Needs::kNothing, Of<TwoHopAllToAll>,
     Even<TwoHopAllToAll>, SentOnce::kPerNode},
    {kAllToAll, "store-and-forward", kStoreHelp, false, Needs::kNothing,
     Of<StoreAndForwardAllToAll>, Even<StoreAndForwardAllToAll>, SentOnce::kPerNode},
    {kDispatch, "two-hop", kTwoHopHelp, true, Needs::kNothing, Of<TwoHopAllToAll>,
     Even<TwoHopAllToAll>, SentOnce::kPerNode},
    {kDispatch, "store-and-forward", kStoreHelp, false, Needs::kNothing,
     Of<StoreAndForwardAllToAll>, Even<StoreAndForwardAllToAll>, SentOnce::kPerNode},
    {kDispatch, "low-latency", kRdmaHelp, false, Needs::kNothing, Of<LowLatencyAllToAll>,
     Even<LowLatencyAllToAll>, SentOnce::kPerExpert, true},
    {kDispatch, "direct", kDirectHelp, false, Needs::kNothing, Of<DirectAllToAll>,
     Even<DirectAllToAll>},
    {kCombine, "two-hop", kTwoHopHelp, true, Needs::kNothing, Of<TwoHopAllToAll>,
     Even<TwoHopAllToAll>, SentOnce::kPerNode},
    {kCombine, "store-and-forward", kStoreHelp, false, Needs::kNothing, Of<StoreAndForwardAllToAll>,
     Even<StoreAndForwardAllToAll>, SentOnce::kPerNode},
    {kCombine, "low-latency", kRdmaHelp, false, Needs::kNothing, Of<LowLatencyAllToAll>,
     Even<LowLatencyAllToAll>, SentOnce::kPerExpert, true},
    {kCombine, "direct", kDirectHelp, false, Needs::kNothing, Of<DirectAllToAll>,
     Even<DirectAllToAll>},
    {kSend, "direct", "the first half of the ranks to the second", true, Needs::kNothing,
     SendHalves},
};

}  // namespace

std::span<const CollectiveAlgorithm> CollectiveAlgorithms() {
  return kAlgorithms;
}

const CollectiveAlgorithm* FindAlgorithm(CollectiveKind kind, std::string_view name) {
  for (const CollectiveAlgorithm& a : kAlgorithms)
    if (a.kind == kind && a.name == name) return &a;
  return nullptr;
}

std::vector<std::string_view> AlgorithmNames(CollectiveKind kind) {
  std::vector<std::string_view> names;
  for (const CollectiveAlgorithm& a : kAlgorithms)
    if (a.kind == kind) names.push_back(a.name);
  return names;
}

std::string_view Unfit(const CollectiveAlgorithm& algorithm, Group group, const Routes& routes) {
  const NodesOf on = NodesOfGroup(group, routes);
  if (algorithm.needs == Needs::kOneNode && on.nodes > 1) return "ranks on one node";
  if (algorithm.needs == Needs::kEvenNodes && !on.even) return "as many ranks on each of the nodes";
  return "";
}

const CollectiveAlgorithm& FindAlgorithm(const CollectiveCall& call, std::string_view name,
                                         const Routes& routes, const std::string& option) {
  const CollectiveAlgorithm* found = FindAlgorithm(call.kind, name);
  if (!found) {
    const auto names = AlgorithmNames(call.kind);
    throw UserError(
        {.file = option,
         .value = "\"" + Shortened(name) + "\"",
         .expected = "for " + std::string(NameOf(call.kind)) + " auto or one of " + Join(names),
         .hint = Nearest(name, names)});
  }
  if (const std::string_view expected = Unfit(*found, call.group, routes); !expected.empty())
    throw UserError(
        {.file = option, .value = std::string(name), .expected = std::string(expected)});
  return *found;
}

std::vector<const CollectiveAlgorithm*> AutomaticAlgorithms(CollectiveKind kind, Group group,
                                                            const Routes& routes, bool engines) {
  std::vector<const CollectiveAlgorithm*> found;
  for (const CollectiveAlgorithm& a : kAlgorithms)
    if (a.kind == kind && (a.automatic || (engines && a.of_engines)) &&
        Unfit(a, group, routes).empty())
      found.push_back(&a);
  MOECAST_CHECK(!found.empty());
  return found;
}

const CollectiveAlgorithm& DispatchOf(const CollectiveChoice& choice, Group group,
                                      const Routes& routes) {
  if (choice.dispatch == kAutoAlgorithm || choice.dispatch == kEngineAlgorithm)
    return *AutomaticAlgorithms(kDispatch, group, routes).front();
  const CollectiveAlgorithm* named = FindAlgorithm(kDispatch, choice.dispatch);
  MOECAST_CHECK(named);
  return *named;
}

const CollectiveAlgorithm& FastestAlgorithm(const CollectiveCall& call, const Cluster& cluster,
                                            const Routes& routes) {
  const CollectiveAlgorithm* fastest = nullptr;
  Seconds least;
  const auto automatic = AutomaticAlgorithms(call.kind, call.group, routes);
  if (automatic.size() == 1) return *automatic.front();
  for (const CollectiveAlgorithm* a : automatic) {
    const Seconds time = TimeAlone(Lower(*a, call, routes), cluster);
    if (fastest && time >= least) continue;
    fastest = a;
    least = time;
  }
  return *fastest;
}

Parts Lower(const CollectiveAlgorithm& algorithm, const CollectiveCall& call,
            const Routes& routes) {
  Parts parts = algorithm.lower(call, routes);
  for (Traffic& part : parts) part.sms = call.sms;
  return parts;
}

double BusFactor(CollectiveKind kind, int ranks) {
  const double n = ranks;
  const double others = (n - 1) / n;
  switch (kind) {
    case kAllReduce:
      return 2 * others;
    case kSend:
    case kBroadcast:
      return 1;
    case kAllGather:
    case kReduceScatter:
    case kAllToAll:
    case kDispatch:
    case kCombine:
      return others;
  }
  MOECAST_CHECK(false);
}

}  // namespace moecast
