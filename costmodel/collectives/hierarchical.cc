// Inside nodes and between them as collectives of their own, one after the other (as frameworks
// call them; NCCL's CollNet chain does the same in one kernel). With m GPUs on each of k nodes:
//   reduce-scatter: inside every node over the buffer, then between GPUs of an index over its 1/m;
//   all-gather:     between GPUs of an index over 1/m, then inside every node over the buffer;
//   all-reduce:     reduce-scatter inside, all-reduce between over 1/m, all-gather inside.
// Over the network goes (k - 1)/k of 1/m of the buffer a GPU, where one ring over all m k ranks
// carries (m k - 1)/(m k) of 1/m; inside, (m - 1)/m of the buffer for each pass.
#include "base/check.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

using RingCollective = Traffic (*)(Group, Bytes, const Routes&, Transport);

// Traffic of groups that run the same collective at once.
void AddTo(Traffic& all, Traffic one) {
  if (all.empty() && all.unreachable == 0) {
    all = std::move(one);
    return;
  }
  all.paths.insert(all.paths.end(), one.paths.begin(), one.paths.end());
  all.unreachable += one.unreachable;
}

struct Levels {
  Levels(Group g, const Routes& r) : group(g), routes(r), on(NodesOfGroup(g, r)) {
    MOECAST_CHECK(on.even);
  }

  Traffic Inside(RingCollective ring, Bytes bytes) const {
    Traffic all;
    for (size_t node = 0; node < on.nodes; ++node)
      AddTo(all, ring(group.subspan(node * on.local, on.local), bytes, routes, Transport::kBulk));
    all.Merge();
    return all;
  }
  Traffic Between(RingCollective ring, Bytes bytes) const {
    Traffic all;
    for (size_t index = 0; index < on.local; ++index) {
      std::vector<int> rail;
      for (size_t node = 0; node < on.nodes; ++node) rail.push_back(group[node * on.local + index]);
      AddTo(all, ring(rail, bytes / static_cast<double>(on.local), routes, Transport::kBulk));
    }
    all.Merge();
    return all;
  }

  Group group;
  const Routes& routes;
  NodesOf on;
};

}  // namespace

Parts HierarchicalAllGather(Group group, Bytes bytes, const Routes& routes) {
  const Levels levels(group, routes);
  return {levels.Between(RingAllGather, bytes), levels.Inside(RingAllGather, bytes)};
}
Parts HierarchicalReduceScatter(Group group, Bytes bytes, const Routes& routes) {
  const Levels levels(group, routes);
  return {levels.Inside(RingReduceScatter, bytes), levels.Between(RingReduceScatter, bytes)};
}
Parts HierarchicalAllReduce(Group group, Bytes bytes, const Routes& routes) {
  const Levels levels(group, routes);
  return {levels.Inside(RingReduceScatter, bytes), levels.Between(RingAllReduce, bytes),
          levels.Inside(RingAllGather, bytes)};
}

}  // namespace moecast
