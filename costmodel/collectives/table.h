// Collectives by name, for whoever asks for one by its kind and algorithm.
//
// Bytes and bandwidths are nccl-tests' (doc/PERFORMANCE.md): `bytes` is the larger buffer of a rank, the
// "size" column; algorithm bandwidth is bytes / time; bus bandwidth is that times the kind's factor, so that
// it compares with the rate of the links whatever the number of ranks.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "costmodel/collectives/collectives.h"

namespace moecast {

struct CollectiveRow {
  std::string_view kind;       // "all-reduce"
  std::string_view algorithm;  // "ring"
  std::string_view bytes;      // what they are, for help: "the buffer each rank gathers into"
  double (*bus_factor)(int ranks);
  Traffic (*traffic)(Group, Bytes, const Routes&);
  // Of what number of ranks there must be a multiple.
  int ranks_multiple = 1;
};

std::span<const CollectiveRow> CollectiveRows();  // rows of a kind stand together

// The row of that kind and algorithm, null where unknown. REQUIRES: kind is that of a row.
const CollectiveRow* FindCollective(std::string_view kind, std::string_view algorithm);

// The kind's fastest on idle links, the first of equals: what NCCL's own estimate would have it pick. Null
// where there is no such kind.
const CollectiveRow* FastestCollective(std::string_view kind, Group group, Bytes bytes,
                                       const Cluster& cluster);

}  // namespace moecast
