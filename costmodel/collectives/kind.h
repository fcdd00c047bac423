// What a group of ranks does together. `bytes` of a collective is a rank's buffer: of all-gather
// the gathered result, of reduce-scatter and all-reduce what it puts in, of broadcast what the
// first rank has, of all-to-all what it sends and keeps, of dispatch and combine its tokens, each
// counted once, of send what goes to the receiver.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace moecast {

enum class CollectiveKind : uint8_t {
  kAllGather,
  kReduceScatter,
  kAllReduce,
  kDispatch,
  kCombine,
  kSend,
  kBroadcast,
  kAllToAll
};
template <>
struct EnumNames<CollectiveKind> {
  static constexpr EnumName<CollectiveKind> kNames[] = {
      {CollectiveKind::kAllGather, "all-gather"},
      {CollectiveKind::kReduceScatter, "reduce-scatter"},
      {CollectiveKind::kAllReduce, "all-reduce"},
      {CollectiveKind::kDispatch, "dispatch"},
      {CollectiveKind::kCombine, "combine"},
      {CollectiveKind::kSend, "send"},
      {CollectiveKind::kBroadcast, "broadcast"},
      {CollectiveKind::kAllToAll, "all-to-all"}};
};

// nccl-tests' bus bandwidth over the buffer over the time (doc/PERFORMANCE.md): the part of the
// buffer that a rank's link carries at least. Of dispatch and combine, as of all-to-all, for a
// token sent to one rank.
double BusFactor(CollectiveKind kind, int ranks);

}  // namespace moecast
