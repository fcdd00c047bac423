// What a cluster can do as a network: its bisection, and who reaches whom by which way, with and
// without what has failed. A group that a failure cuts off is an answer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "topology/cluster.h"

namespace moecast {

// Ordered pairs of different GPUs by the way their bytes take (topology/routes.h).
struct Reach {
  int64_t over_nvlink = 0;
  int64_t over_nics = 0;  // of the two GPUs
  int64_t forwarded = 0;  // by a GPU of the sender's or the receiver's node
  int64_t unreachable = 0;
  int cut_off = 0;  // GPUs that reach no other, or that no other reaches

  bool operator==(const Reach&) const = default;
  int64_t pairs() const { return over_nvlink + over_nics + forwarded + unreachable; }
};

// Nodes of one unit whose ports work alike are counted as one kind, so that pairs of kinds are gone
// through.
Reach ReachOf(const Cluster& cluster);

struct Survey {
  Cluster cluster;  // with what has failed
  std::vector<std::string> failed;
  BytesPerSecond bisection;
  BytesPerSecond healthy_bisection;
  Reach reach;
  Reach healthy_reach;
  std::vector<LinkId> degraded;  // links that have lost capacity, with that of before
  std::vector<BytesPerSecond> healthy_rate;
};

// Of a cluster that has all its links, and with what is named taken out. Throws UserError naming
// --fail for names that are no link or switch.
Survey SurveyOf(const Cluster& healthy, std::span<const std::string> failed);

}  // namespace moecast
