// The text that nccl-tests (github.com/NVIDIA/nccl-tests: all_reduce_perf and its sisters) prints.
// Read are the ranks with their hosts, the columns and their rows; other lines that start with '#'
// or a letter are passed over, as NCCL's own messages are.
//
//   #  Rank  0 Group  0 Pid  4242 on  node-a device  0 [0x1b] NVIDIA H100 80GB HBM3
//   #       size     count    type   redop  root     time   algbw   busbw #wrong     time ...
//        1048576    262144   float     sum    -1    25.40   41.28   72.24      0    25.71 ...
//
// Columns may lack redop and root (older versions), `#wrong` may be `error`, and is `N/A` where
// nothing was checked. Which collective ran newer versions say; of older ones the file's name must.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace moecast {

struct NcclTestRow {
  int line = 0;
  int64_t bytes = 0;
  std::string type;
  Seconds out_of_place;
  std::optional<Seconds> in_place;
};

struct NcclTest {
  std::string file;
  std::string collective;               // "all_reduce", "alltoall"
  std::vector<std::string> rank_hosts;  // by rank
  std::vector<NcclTestRow> rows;
};

// Whether the text has the columns of nccl-tests.
bool LooksLikeNcclTest(std::string_view text);

// Throws UserError with the line: no ranks or fewer than two, ranks not from 0 on, no columns or
// rows, a row of another number of fields, a field that is no number, wrong results, an unknown
// collective.
NcclTest ParseNcclTest(std::string_view text, const std::string& file);

}  // namespace moecast
