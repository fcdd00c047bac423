#include "sim/training/stages.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace moecast {

std::vector<BlockKind> KindsIn(const StageBlocks& blocks) {
  std::vector<BlockKind> kinds;
  for (const BlockRun& run : blocks) kinds.insert(kinds.end(), static_cast<size_t>(run.count), run.kind);
  return kinds;
}

std::vector<BlockKind> LayerKinds(const Model& model) {
  std::vector<BlockKind> kinds;
  for (const LayerRun& run : model.runs)
    kinds.insert(kinds.end(), static_cast<size_t>(run.count),
                 run.kind == LayerKind::kMoe ? BlockKind::kMoe : BlockKind::kDense);
  return kinds;
}

std::vector<int> BalancedSplit(std::span<const Seconds> layer_times, Seconds first_extra, Seconds last_extra,
                               int stages) {
  const int n = static_cast<int>(layer_times.size());
  MOECAST_CHECK(stages >= 1 && stages <= n);
  std::vector<double> prefix(static_cast<size_t>(n) + 1, 0);
  for (int i = 0; i < n; ++i) prefix[i + 1] = prefix[i] + layer_times[i].value;
  const auto time_of = [&](int stage, int begin, int end) {
    return prefix[end] - prefix[begin] + (stage == 0 ? first_extra.value : 0) +
           (stage == stages - 1 ? last_extra.value : 0);
  };
  // best[s][i]: slowest stage and sum of squares of the first s stages over the first i layers. The two goals
  // are taken one after the other, for the best sum under a given maximum is not the best sum of each
  // prefix's own maximum.
  const size_t width = static_cast<size_t>(n) + 1;
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  std::vector<double> slowest(width * (static_cast<size_t>(stages) + 1), kInfinite);
  slowest[0] = 0;
  for (int s = 0; s < stages; ++s) {
    for (int end = s + 1; end <= n - (stages - 1 - s); ++end) {
      double& best = slowest[(s + 1) * width + end];
      // Later beginnings make this stage shorter: once it alone is the smaller part, earlier ones only get
      // worse.
      for (int begin = end - 1; begin >= s; --begin) {
        const double own = time_of(s, begin, end);
        best = std::min(best, std::max(own, slowest[s * width + begin]));
        if (own >= best) break;
      }
    }
  }
  const double limit = slowest[stages * width + n] * (1 + 1e-12);

  std::vector<double> squares(slowest.size(), kInfinite);
  std::vector<int> from(slowest.size(), -1);
  squares[0] = 0;
  for (int s = 0; s < stages; ++s) {
    for (int end = s + 1; end <= n - (stages - 1 - s); ++end) {
      double& best = squares[(s + 1) * width + end];
      for (int begin = end - 1; begin >= s; --begin) {
        const double own = time_of(s, begin, end);
        if (own > limit) break;
        const double sum = squares[s * width + begin] + own * own;
        // Equal sums prefer the earlier beginning: more layers here, fewer before. Rounding must not decide.
        if (sum < best * (1 - 1e-12) || (sum <= best * (1 + 1e-12) && sum < kInfinite)) {
          best = std::min(best, sum);
          from[(s + 1) * width + end] = begin;
        }
      }
    }
  }
  std::vector<int> layers(static_cast<size_t>(stages));
  for (int s = stages, end = n; s > 0; --s) {
    const int begin = from[s * width + end];
    MOECAST_CHECK(begin >= 0);
    layers[s - 1] = end - begin;
    end = begin;
  }
  return layers;
}

std::vector<StageBlocks> StagesOf(const Model& model, std::span<const int> layers) {
  const std::vector<BlockKind> kinds = LayerKinds(model);
  std::vector<StageBlocks> stages(layers.size());
  size_t layer = 0;
  const auto add = [](StageBlocks& blocks, BlockKind kind) {
    if (blocks.empty() || blocks.back().kind != kind) blocks.push_back({kind, 0});
    ++blocks.back().count;
  };
  add(stages.front(), BlockKind::kEmbedding);
  for (size_t s = 0; s < layers.size(); ++s)
    for (int i = 0; i < layers[s]; ++i) add(stages[s], kinds.at(layer++));
  MOECAST_CHECK(layer == kinds.size());
  add(stages.back(), BlockKind::kHead);
  for (int i = 0; i < model.mtp_layers; ++i) add(stages.back(), BlockKind::kMtp);
  return stages;
}

}  // namespace moecast
