#include <algorithm>

#include "costmodel/attention/attention.h"

namespace moecast {
namespace {

constexpr const AttentionKind* kKinds[] = {&kGqaAttention, &kMlaAttention};

}  // namespace

std::span<const AttentionKind* const> AttentionKinds() {
  return kKinds;
}

// With a window w and f tokens before the first query, those of the q queries that begin before w
// miss a triangle of (w - f)^2 / 2 pairs, the others meet w.
double MeanContext(const Attention& a, int64_t queries, int64_t context) {
  const auto q = static_cast<double>(queries);
  const auto c = static_cast<double>(context);
  const double w = a.sliding_window;
  if (w <= 0 || w >= c) return c - q / 2;
  const double missing = std::max(0.0, w - (c - q));
  return w - missing * missing / (2 * q);
}

}  // namespace moecast
