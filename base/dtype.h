// Number formats and the bytes an element takes, scales included.
#pragma once

#include <cstdint>

#include "base/enum_names.h"

namespace moecast {

enum class Dtype : uint8_t {
  kFp32,
  kBf16,
  kFp8,       // one scale per tensor (or per row); e4m3
  kFp8Block,  // one fp32 scale per 1x128 of an activation, per 128x128 of a weight (DeepSeek-V3,
              // arXiv 2412.19437)
};

template <>
struct EnumNames<Dtype> {
  static constexpr EnumName<Dtype> kNames[] = {{Dtype::kFp32, "fp32"},
                                               {Dtype::kBf16, "bf16"},
                                               {Dtype::kFp8, "fp8"},
                                               {Dtype::kFp8Block, "fp8_block"}};
};

// Bytes of one element of an activation; kFp8Block adds the 4-byte scale that 128 elements share.
constexpr double ElementBytes(Dtype d) {
  switch (d) {
    case Dtype::kFp32:
      return 4;
    case Dtype::kBf16:
      return 2;
    case Dtype::kFp8:
      return 1;
    case Dtype::kFp8Block:
      return 1 + 4.0 / 128;
  }
  return 0;
}

}  // namespace moecast
