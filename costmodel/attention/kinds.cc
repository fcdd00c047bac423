#include "costmodel/attention/attention.h"

namespace moecast {
namespace {

constexpr const AttentionKind* kKinds[] = {&kGqaAttention, &kMlaAttention};

}  // namespace

std::span<const AttentionKind* const> AttentionKinds() {
  return kKinds;
}

// With a window w < s the first w queries meet w/2 on average, the rest w: (w * w/2 + (s - w) * w) / s.
double MeanContext(const Attention& a, int64_t sequence) {
  const double s = static_cast<double>(sequence), w = a.sliding_window;
  return w > 0 && w < s ? w - w * w / (2 * s) : s / 2;
}

}  // namespace moecast
