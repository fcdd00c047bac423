// The two streams of a rank: kernels that compute, and kernels that move data between ranks.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace moecast {

enum class Stream : uint8_t { kCompute, kCommunication };
template <>
struct EnumNames<Stream> {
  static constexpr EnumName<Stream> kNames[] = {{Stream::kCompute, "compute"},
                                                {Stream::kCommunication, "communication"}};
};

}  // namespace moecast
