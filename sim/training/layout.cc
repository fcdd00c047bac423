#include "sim/training/layout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace moecast {

std::vector<BlockKind> LayerKinds(const Model& model) {
  std::vector<BlockKind> kinds;
  for (const LayerRun& run : model.runs)
    kinds.insert(kinds.end(), static_cast<size_t>(run.count),
                 run.kind == LayerKind::kMoe ? BlockKind::kMoe : BlockKind::kDense);
  return kinds;
}

std::vector<int> BalancedSplit(std::span<const Seconds> layer_times, Seconds first_extra,
                               Seconds last_extra, int stages) {
  const int n = static_cast<int>(layer_times.size());
  MOECAST_CHECK(stages >= 1 && stages <= n);
  std::vector<double> prefix(static_cast<size_t>(n) + 1, 0);
  for (int i = 0; i < n; ++i) prefix[i + 1] = prefix[i] + layer_times[i].value;
  const auto time_of = [&](int stage, int begin, int end) {
    return prefix[end] - prefix[begin] + (stage == 0 ? first_extra.value : 0) +
           (stage == stages - 1 ? last_extra.value : 0);
  };
  // best[s][i]: slowest stage and sum of squares of the first s stages over the first i layers. The
  // two goals are taken one after the other, for the best sum under a given maximum is not the best
  // sum of each prefix's own maximum.
  const size_t width = static_cast<size_t>(n) + 1;
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  std::vector<double> slowest(width * (static_cast<size_t>(stages) + 1), kInfinite);
  slowest[0] = 0;
  for (int s = 0; s < stages; ++s) {
    // Beginnings from here on make the stages before slower than this one. With more layers to
    // split that point only moves on, and the best beginning is it or the one before.
    int begin = s;
    for (int end = s + 1; end <= n - (stages - 1 - s); ++end) {
      const double* before = &slowest[s * width];
      while (begin < end - 1 && before[begin] < time_of(s, begin, end)) ++begin;
      double& best = slowest[(s + 1) * width + end];
      best = std::max(time_of(s, begin, end), before[begin]);
      if (begin > s) best = std::min(best, std::max(time_of(s, begin - 1, end), before[begin - 1]));
    }
  }
  const double limit = slowest[stages * width + n] * (1 + 1e-12);

  // Most layers that the last stages may have within the limit, and so the fewest of those before.
  std::vector<int> fewest(static_cast<size_t>(stages) + 1, n);
  for (int s = stages; s-- > 0;) {
    int& begin = fewest[s];
    begin = fewest[s + 1] - 1;
    while (begin > s && time_of(s, begin - 1, fewest[s + 1]) <= limit) --begin;
  }
  std::vector<double> squares(slowest.size(), kInfinite);
  std::vector<int> from(slowest.size(), -1);
  squares[0] = 0;
  for (int s = 0; s < stages; ++s) {
    for (int end = std::max(s + 1, fewest[s + 1]); end <= n - (stages - 1 - s); ++end) {
      // The more layers, the slower.
      if (slowest[(s + 1) * width + end] > limit) break;
      double& best = squares[(s + 1) * width + end];
      for (int begin = end - 1; begin >= s; --begin) {
        const double own = time_of(s, begin, end);
        if (own > limit) break;
        const double sum = squares[s * width + begin] + own * own;
        // Equal sums prefer the earlier beginning: more layers here, fewer before. Rounding must
        // not decide.
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

PieceMap::PieceMap(const PipelineSchedule& schedule, const PipelineShape& shape)
    : stages_(shape.stages),
      held_(shape.held()),
      pieces_(shape.pieces()),
      place_(static_cast<size_t>(shape.virtual_stages())) {
  for (int stage = 0; stage < stages_; ++stage) {
    for (int chunk = 0; chunk < held_; ++chunk) {
      const int v = schedule.virtual_stage(shape, stage, chunk);
      place_[v] = static_cast<int>(at_.size());
      at_.push_back(v);
    }
  }
  MOECAST_CHECK(at_.size() == place_.size());
}

bool PieceMap::EndsApart() const {
  for (int stage = 0; stage < stages_; ++stage) {
    const std::span<const int> held = Held(stage);
    if (std::any_of(held.begin(), held.end(), [&](int v) { return starts_model(v); }) &&
        std::any_of(held.begin(), held.end(), [&](int v) { return ends_model(v); }))
      return false;
  }
  return true;
}

Layout LayoutOf(const PieceMap& map, std::span<const StageBlocks> pieces) {
  MOECAST_CHECK(static_cast<int>(pieces.size()) == map.pieces());
  Layout layout{.map = map, .runs = {}, .blocks = {}};
  for (int v = 0; v < map.virtual_stages(); v += map.pieces()) {
    int layer = 0;
    int moe_layer = 0;
    for (const StageBlocks& piece : pieces) {
      layout.runs.push_back(piece);
      std::vector<PlacedBlock>& blocks = layout.blocks.emplace_back();
      for (const BlockRun& run : piece) {
        const bool moe = run.kind == BlockKind::kMoe;
        const bool is_layer = moe || run.kind == BlockKind::kDense;
        for (int i = 0; i < run.count; ++i)
          blocks.push_back({run.kind, is_layer ? layer++ : -1, moe ? moe_layer++ : -1});
      }
    }
  }
  return layout;
}

std::vector<int> Layout::LayersByPiece() const {
  std::vector<int> layers;
  for (int v = 0; v < map.pieces(); ++v) {
    int n = 0;
    for (const PlacedBlock& block : blocks[v]) n += block.layer >= 0;
    layers.push_back(n);
  }
  return layers;
}

}  // namespace moecast
