// The streams of a rank: one of kernels that compute, and one for each communicator. Collectives of
// one communicator run one after another in the order in which they were enqueued (NCCL's rule);
// those of two run beside each other.
#pragma once

#include <cstdint>
#include <iterator>

#include "base/enum_names.h"

namespace moecast {

// Which ranks communicate: a group of the plan's placement, each with a communicator of its own.
enum class GroupKind : uint8_t { kTp, kCp, kEp, kData, kExpertData, kPipelineNext, kWorld };
template <>
struct EnumNames<GroupKind> {
  static constexpr EnumName<GroupKind> kNames[] = {
      {GroupKind::kTp, "tp"},          {GroupKind::kCp, "cp"},
      {GroupKind::kEp, "ep"},          {GroupKind::kData, "dp"},
      {GroupKind::kExpertData, "edp"}, {GroupKind::kPipelineNext, "pp"},
      {GroupKind::kWorld, "world"}};
};
inline constexpr int kGroupKinds = static_cast<int>(std::size(EnumNames<GroupKind>::kNames));

// kCompute, then the groups in their order.
enum class Stream : uint8_t { kCompute, kTp, kCp, kEp, kData, kExpertData, kPipelineNext, kWorld };
template <>
struct EnumNames<Stream> {
  static constexpr EnumName<Stream> kNames[] = {
      {Stream::kCompute, "compute"}, {Stream::kTp, "tp"},      {Stream::kCp, "cp"},
      {Stream::kEp, "ep"},           {Stream::kData, "dp"},    {Stream::kExpertData, "edp"},
      {Stream::kPipelineNext, "pp"}, {Stream::kWorld, "world"}};
};
inline constexpr int kStreams = static_cast<int>(std::size(EnumNames<Stream>::kNames));
static_assert(kStreams == 1 + kGroupKinds);

constexpr Stream StreamOf(GroupKind group) {
  return static_cast<Stream>(1 + static_cast<int>(group));
}
// REQUIRES: not the compute stream.
constexpr GroupKind GroupOf(Stream stream) {
  return static_cast<GroupKind>(static_cast<int>(stream) - 1);
}

}  // namespace moecast
