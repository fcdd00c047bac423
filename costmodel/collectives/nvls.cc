// Collectives by the NVSwitch (NVLink SHARP; NCCL's algorithm NVLS), which reads a value from all
// GPUs of the group and adds them (multimem.ld_reduce, PTX ISA 8.1), or writes one to all of them
// (multimem.st). Each rank works on its 1/n of the buffer. The switch serves the GPU that asks as
// it serves the others, so
//   reduce-scatter: a GPU's link carries the buffer out, read by n ranks in parts of 1/n; 1/n in
//   all-gather:     1/n out and the buffer in
//   all-reduce:     both, 1 + 1/n each way, where a ring carries 2 (n - 1)/n
// An all-to-all has nothing to add or copy. Between nodes NCCL goes on by trees of switches, left
// out here.
#include "base/check.h"
#include "costmodel/collectives/collectives.h"

namespace moecast {
namespace {

// In parts of the buffer.
Traffic ThroughSwitch(Group group, Bytes bytes, double out, double in, const Routes& routes) {
  Traffic traffic{.transport = Transport::kMulticast};
  if (group.size() < 2 || bytes.value <= 0) return traffic;
  MOECAST_CHECK(routes.SameNode(group.front(), group.back()));
  const auto half_way = [](int gpu, Port port) {
    Path path;
    path.links[0] = LinkOf(gpu, port);
    path.size = 1;
    return path;
  };
  for (const int gpu : group) {
    traffic.Add(half_way(gpu, Port::kNvlinkOut), bytes * out);
    traffic.Add(half_way(gpu, Port::kNvlinkIn), bytes * in);
  }
  traffic.Merge();
  return traffic;
}

}  // namespace

Traffic NvlsAllGather(Group group, Bytes bytes, const Routes& routes) {
  return ThroughSwitch(group, bytes, 1.0 / static_cast<double>(group.size()), 1, routes);
}
Traffic NvlsReduceScatter(Group group, Bytes bytes, const Routes& routes) {
  return ThroughSwitch(group, bytes, 1, 1.0 / static_cast<double>(group.size()), routes);
}
Traffic NvlsAllReduce(Group group, Bytes bytes, const Routes& routes) {
  const double each_way = 1 + 1.0 / static_cast<double>(group.size());
  return ThroughSwitch(group, bytes, each_way, each_way, routes);
}

}  // namespace moecast
