// Recomputation: what a training step runs twice to keep less between its passes.
#pragma once

#include <cstdint>
#include <span>
#include <tuple>

#include "base/enum_names.h"

namespace moecast {

// What the backward pass computes again instead of keeping it from the forward pass.
enum class Recompute : uint8_t {
  kRmsNorm,  // outputs of the norms, MLA's latent norms included
  kMlaUp,    // queries, keys and values from MLA's latents, RoPE included
  kSwiGlu,   // output of the activation
  kPermute,  // the experts' copies of a token, gathered again from the tokens received
  kLayer,    // everything but the layer's input, communication included
};
template <>
struct EnumNames<Recompute> {
  static constexpr EnumName<Recompute> kNames[] = {{Recompute::kRmsNorm, "rmsnorm"},
                                                   {Recompute::kMlaUp, "mla_up"},
                                                   {Recompute::kSwiGlu, "swiglu"},
                                                   {Recompute::kPermute, "permute"},
                                                   {Recompute::kLayer, "layer"}};
};

// Which of them a plan asks for, in whatever order it lists them.
class RecomputeSet {
 public:
  RecomputeSet() = default;
  explicit RecomputeSet(std::span<const Recompute> listed) {
    for (const Recompute what : listed) bits_ |= Bit(what);
  }
  bool Has(Recompute what) const { return (bits_ & Bit(what)) != 0; }
  uint32_t bits() const { return bits_; }
  bool operator==(const RecomputeSet&) const = default;
  friend auto MembersOf(const RecomputeSet& set) { return std::tie(set.bits_); }

 private:
  static uint32_t Bit(Recompute what) { return uint32_t{1} << static_cast<uint32_t>(what); }
  uint32_t bits_ = 0;
};

}  // namespace moecast
