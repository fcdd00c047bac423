#include "costmodel/gating/top_k_method.h"

#include <algorithm>

#include "costmodel/gating/four.h"

namespace moecast {
namespace {

MOECAST_INLINE float Greatest(const float* x, int n) {
  const Four m = Combined(x, n, kLowest, [](Four a, Four b) { return Max(a, b); });
  return std::max(std::max(m[0], m[2]), std::max(m[1], m[3]));
}

// A group of one expert has no second best; its best counts alone.
MOECAST_INLINE float SumOfTwoGreatest(const float* x, int n) {
  if (n == 1) return x[0];
  Four second = Fill(kLowest);
  const Four first = Combined(x, n, kLowest, [&second](Four a, Four b) {
    second = Max(second, Min(a, b));
    return Max(a, b);
  });
  float best = kLowest, next = kLowest;
  for (const Four& four : {first, second}) {
    for (int l = 0; l < 4; ++l) {
      next = std::max(next, std::min(best, four[l]));
      best = std::max(best, four[l]);
    }
  }
  return best + next;
}

void BestOfEach(const float* scores, int groups, int size, float* out) {
  for (int g = 0; g < groups; ++g) out[g] = Greatest(scores + g * size, size);
}

void TwoBestOfEach(const float* scores, int groups, int size, float* out) {
  for (int g = 0; g < groups; ++g) out[g] = SumOfTwoGreatest(scores + g * size, size);
}

}  // namespace

const TopKMethod kGreedyTopK{
    .name = "greedy",
    .help = "the best of all experts",
    .reads_groups = false,
    .has_bias = false,
    .scored_experts = 1,
    .group_scores = BestOfEach,
};
const TopKMethod kGroupLimitedTopK{
    .name = "group_limited_greedy",
    .help = "of the groups with the best expert (DeepSeek-V2, arXiv 2405.04434, section 2.2.2)",
    .reads_groups = true,
    .has_bias = false,
    .scored_experts = 1,
    .group_scores = BestOfEach,
};
const TopKMethod kNoAuxTopK{
    .name = "noaux_tc",
    .help =
        "of the groups whose two best sum highest, with a bias an expert (DeepSeek-V3, arXiv "
        "2412.19437, "
        "section 2.1.2)",
    .reads_groups = true,
    .has_bias = true,
    .scored_experts = 2,
    .group_scores = TwoBestOfEach,
};

std::span<const TopKMethod* const> TopKMethods() {
  static constexpr const TopKMethod* kMethods[] = {&kGreedyTopK, &kGroupLimitedTopK, &kNoAuxTopK};
  return kMethods;
}

}  // namespace moecast
