#include "costmodel/collectives/table.h"

#include <algorithm>
#include <vector>

namespace moecast {
namespace {

double Once(int) {
  return 1;
}
double AllButOwn(int n) {
  return static_cast<double>(n - 1) / n;
}
double TwiceAllButOwn(int n) {
  return 2 * AllButOwn(n);
}

// A buffer cut evenly over the ranks: tokens that each go to one device, none twice.
Traffic TwoHopAllToAll(Group group, Bytes bytes, const Routes& routes) {
  return ExpertAllToAll(group, bytes, {.devices = 1, .nodes = 1}, routes);
}

// nccl-tests' sendrecv: every rank to the next, the last to the first.
Traffic SendToNext(Group group, Bytes bytes, const Routes& routes) {
  std::vector<int> next(group.begin(), group.end());
  std::rotate(next.begin(), next.begin() + 1, next.end());
  return Send(group, next, bytes, routes);
}

// From a pipeline stage to the next: the first half of the ranks each to its counterpart in the second.
Traffic SendToOtherHalf(Group group, Bytes bytes, const Routes& routes) {
  const size_t half = group.size() / 2;
  return Send(group.first(half), group.subspan(half), bytes, routes);
}

template <Traffic (*kRing)(Group, Bytes, const Routes&, Transport)>
Traffic Bulk(Group group, Bytes bytes, const Routes& routes) {
  return kRing(group, bytes, routes, Transport::kBulk);
}

constexpr std::string_view kReduced = "the buffer that is reduced",
                           kGathered = "the buffer each rank gathers",
                           kScattered = "the buffer of each rank before it is scattered",
                           kExchanged = "what a rank sends to all ranks, itself included",
                           kSent = "what a rank sends";

constexpr CollectiveRow kRows[] = {
    {"all-reduce", "ring", kReduced, TwiceAllButOwn, Bulk<RingAllReduce>},
    {"all-reduce", "tree", kReduced, TwiceAllButOwn, TreeAllReduce},
    {"all-gather", "ring", kGathered, AllButOwn, Bulk<RingAllGather>},
    {"reduce-scatter", "ring", kScattered, AllButOwn, Bulk<RingReduceScatter>},
    {"all-to-all", "two-hop", kExchanged, AllButOwn, TwoHopAllToAll},
    {"send-recv", "to-next", kSent, Once, SendToNext},
    {"send", "to-other-half", kSent, Once, SendToOtherHalf, 2},
};

}  // namespace

std::span<const CollectiveRow> CollectiveRows() {
  return kRows;
}

const CollectiveRow* FindCollective(std::string_view kind, std::string_view algorithm) {
  for (const CollectiveRow& row : kRows)
    if (row.kind == kind && row.algorithm == algorithm) return &row;
  return nullptr;
}

const CollectiveRow* FastestCollective(std::string_view kind, Group group, Bytes bytes,
                                       const Cluster& cluster) {
  const CollectiveRow* fastest = nullptr;
  Seconds least;
  const Routes routes(cluster);
  for (const CollectiveRow& row : kRows) {
    if (row.kind != kind) continue;
    const Seconds time = TimeAlone(row.traffic(group, bytes, routes), cluster);
    if (fastest && time >= least) continue;
    fastest = &row;
    least = time;
  }
  return fastest;
}

}  // namespace moecast
