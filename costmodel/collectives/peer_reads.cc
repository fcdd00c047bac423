// All-reduce of inference engines inside a node (vLLM, csrc/custom_all_reduce.cuh; TensorRT-LLM and
// SGLang have the like): each GPU maps the others' buffers and its kernel reads them over NVLink,
// with a barrier before and after, in place of passing pieces around a ring.
//   one-shot: every rank reads the whole buffer of every other and adds: n - 1 buffers in
//   two-shot: every rank adds its 1/n of all buffers, then reads the others' sums: 2 (n - 1)/n
#include "base/check.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

Traffic PeerReads(Group group, Bytes from_each, int steps, const Routes& routes) {
  Traffic traffic{.transport = Transport::kPeerReads};
  if (group.size() < 2) return traffic;
  MOECAST_CHECK(routes.SameNode(group.front(), group.back()));
  traffic.nvlink_steps = steps;
  if (from_each.value <= 0) return traffic;
  for (const int from : group)
    for (const int to : group)
      if (from != to) traffic.Add(routes.Between(from, to), from_each);
  traffic.Merge();
  return traffic;
}

}  // namespace

Traffic OneShotAllReduce(Group group, Bytes bytes, const Routes& routes) {
  return PeerReads(group, bytes, 1, routes);
}
Traffic TwoShotAllReduce(Group group, Bytes bytes, const Routes& routes) {
  return PeerReads(group, bytes * (2.0 / static_cast<double>(group.size())), 2, routes);
}

}  // namespace moecast
