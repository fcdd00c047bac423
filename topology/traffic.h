// What a collective puts on the links: bytes per link and the latency of its steps, never seconds. Its time
// alone on idle links follows from it; under contention a network level times its flows.
#pragma once

#include <span>
#include <vector>

#include "base/units.h"
#include "topology/cluster.h"
#include "topology/routes.h"

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
  std::vector<PathLoad> paths;  // who sends to whom; a path may appear more than once until Merge
  std::vector<LinkLoad> loads;  // one per link, by link; made by Merge

  int unreachable = 0;  // sends that no path is left for

  void Add(const Path& path, Bytes bytes) {
    if (path.size > 0) paths.emplace_back(path, bytes);
    unreachable += !path.exists();
  }
  // One load per path, by its links, and the loads. Functions below need it.
  void Merge();
  bool empty() const { return paths.empty(); }
};

// Delay before the first byte of the last step can flow: launch and the latency of all steps.
Seconds AlphaOf(const Traffic& traffic, const Cluster& cluster);

// Time of the busiest link at its full rate. Zero for traffic without bytes, infinite where a send has no
// path.
Seconds BusyTime(const Traffic& traffic, const Cluster& cluster);

// Alpha and BusyTime. Zero for traffic without bytes.
Seconds TimeAlone(const Traffic& traffic, const Cluster& cluster);

// The link that determines TimeAlone. REQUIRES: !traffic.empty().
LinkId BusiestLink(const Traffic& traffic, const Cluster& cluster);

// Bytes that leave the busiest GPU by NVLink and by network.
struct PortBytes {
  Bytes nvlink, network;
};
PortBytes BytesSent(const Traffic& traffic, const Cluster& cluster);

}  // namespace moecast
