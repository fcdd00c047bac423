// What a collective puts on the links: bytes per link, the latency of its steps and what moves
// them, never seconds. Its time alone on idle links follows from it; under contention a network
// level times its flows. What runs in parts one after the other, each beginning when the one before
// is done everywhere, is as many Traffics.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "base/units.h"
#include "topology/cluster.h"
#include "topology/routes.h"
#include "topology/transport.h"

namespace moecast {

struct LinkLoad {
  LinkId link = 0;
  Bytes bytes;
};

struct PathLoad {
  Path path;
  Bytes bytes;
};

struct Traffic {
  // Steps that a byte takes in sequence, by the link they cross.
  int nvlink_steps = 0;
  int network_steps = 0;
  Transport transport = Transport::kBulk;
  double stretch =
      1;        // time over what its bytes take at the links' rates: waits between its rounds
  int sms = 0;  // SMs its kernel runs on; 0: as many as the links want
  std::vector<PathLoad> paths;  // who sends to whom; a path may appear more than once until Merge
  std::vector<LinkLoad> loads;  // one per link, by link; made by Merge

  int64_t unreachable = 0;  // sends that no path is left for

  void Add(const Path& path, Bytes bytes) {
    if (path.size > 0) paths.push_back({path, bytes});
    unreachable += !path.exists();
  }
  // One load per path, by its links, and the loads. Functions below need it.
  void Merge();
  bool empty() const { return paths.empty(); }
};

// Delay before the first byte of the last step can flow: launch and the latency of all steps.
Seconds AlphaOf(const Traffic& traffic, const Cluster& cluster);

// Bytes of a link's usable rate that a byte takes: its transport's, stretched. Sends over the
// network are stretched by what their pieces take beside the bytes, a kernel with too few SMs until
// its SMs keep up; their links then seem full beside other traffic, which they are not.
struct LinkCosts {
  double nvlink = 1, network = 1;
  double of(const Cluster& cluster, LinkId link) const {
    return IsNetwork(cluster, link) ? network : nvlink;
  }
  // A path that crosses the network moves at its pace.
  double of(const Cluster& cluster, const Path& path) const {
    const auto crosses = [&](LinkId link) { return IsNetwork(cluster, link); };
    return std::any_of(path.span().begin(), path.span().end(), crosses) ? network : nvlink;
  }
};
LinkCosts LinkCostsOf(const Traffic& traffic, const Cluster& cluster);

// Time of the busiest link at its usable rate. Zero for traffic without bytes, infinite where a
// send has no path.
Seconds BusyTime(const Traffic& traffic, const Cluster& cluster);

// Alpha and BusyTime. Zero for traffic without bytes.
Seconds TimeAlone(const Traffic& traffic, const Cluster& cluster);
Seconds TimeAlone(std::span<const Traffic> parts, const Cluster& cluster);  // the sum

// The link that determines TimeAlone. REQUIRES: !traffic.empty().
LinkId BusiestLink(const Traffic& traffic, const Cluster& cluster);

// Bytes that leave the busiest GPU by NVLink and by network, and that arrive.
struct PortBytes {
  Bytes nvlink, network;
};
PortBytes BytesSent(const Traffic& traffic, const Cluster& cluster);
PortBytes BytesReceived(const Traffic& traffic, const Cluster& cluster);

}  // namespace moecast
