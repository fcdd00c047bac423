#include "costmodel/spread.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "costmodel/collectives/algorithms.h"

namespace moecast {
namespace {

// A range of experts, cut by the groups it touches: experts in the group it starts in and in the
// one it ends in, where these are not wholly in it, and how many groups are.
struct Cut {
  int first = 0, whole = 0, last = 0;
};

Cut CutOf(int begin, int end, int group) {
  const int first_whole = (begin + group - 1) / group, after_whole = end / group;
  if (after_whole < first_whole) return {.first = end - begin};  // inside one group
  return {.first = first_whole * group - begin,
          .whole = after_whole - first_whole,
          .last = end - after_whole * group};
}

// Probability that a token has no expert of the range. Its experts are drawn best first: until
// top_groups groups are known every expert that comes is chosen, afterwards those of the known
// groups are.
double Missed(const Moe& moe, const Cut& range) {
  const int group = moe.experts / moe.groups, groups = moe.top_groups;
  const int others = moe.groups - range.whole - (range.first > 0) - (range.last > 0);
  // p[d][x][y]: nothing of the range is drawn, of d known groups; x and y say whether the groups
  // that the range starts and ends in are among them.
  struct State {
    double p[2][2] = {};
  };
  std::vector<State> now(static_cast<size_t>(groups) + 1);
  now[0].p[0][0] = 1;
  for (int drawn = 0; drawn < moe.top_k; ++drawn) {
    std::vector<State> next(now.size());
    for (int d = 0; d <= groups; ++d) {
      for (const int x : {0, 1}) {
        for (const int y : {0, 1}) {
          const double p = now[d].p[x][y] / ((d < groups ? moe.experts : d * group) - drawn);
          if (p == 0) continue;
          next[d].p[x][y] += p * (d * group - drawn - x * range.first - y * range.last);
          if (d == groups) continue;
          next[d + 1].p[x][y] += p * (others - (d - x - y)) * group;
          if (range.first > 0 && x == 0) next[d + 1].p[1][y] += p * (group - range.first);
          if (range.last > 0 && y == 0) next[d + 1].p[x][1] += p * (group - range.last);
        }
      }
    }
    now = std::move(next);
  }
  double missed = 0;
  for (const State& s : now) missed += s.p[0][0] + s.p[0][1] + s.p[1][0] + s.p[1][1];
  return missed;
}

// Expected number of `parts` equal contiguous parts of the experts that hold one of a token's.
double PartsHit(const Moe& moe, int parts) {
  const int group = moe.experts / moe.groups, part = moe.experts / parts;
  const auto hit = [&](int begin) { return 1 - Missed(moe, CutOf(begin, begin + part, group)); };
  if (part % group == 0 || group % part == 0) return parts * hit(0);  // all parts lie alike
  double sum = 0;
  for (int p = 0; p < parts; ++p) sum += hit(p * part);
  return sum;
}

}  // namespace

TokenSpread SpreadOf(const Moe& moe, int ep, int ranks_per_node) {
  MOECAST_CHECK(moe.experts % ep == 0 && moe.experts % moe.groups == 0 && ranks_per_node >= 1);
  TokenSpread spread;
  spread.devices = PartsHit(moe, ep);
  spread.experts = moe.top_k;
  if (ep <= ranks_per_node) return spread;
  spread.nodes = ep % ranks_per_node == 0 ? PartsHit(moe, ep / ranks_per_node) : spread.devices;
  return spread;
}

Moe RoutedBy(std::optional<int> topk_group, Moe moe) {
  moe.top_groups = topk_group.value_or(moe.top_groups);
  return moe;
}

ExpertSpread ExpertSpreadOf(const Model& model, const ShardPlan& shard, const Placement& placement,
                            const Cluster& cluster) {
  if (model.moe.experts == 0) return {};
  const std::vector<int> group = placement.Group({}, placement.ExpertAxes());
  const auto ranks = static_cast<int>(group.size());
  MOECAST_CHECK(ranks == shard.ep);
  const auto on_node = static_cast<int>(std::count_if(group.begin(), group.end(), [&](int gpu) {
    return cluster.NodeOf(gpu) == cluster.NodeOf(group[0]);
  }));
  SentOnce once = DispatchOf(shard.collectives, group, Routes(cluster)).sent_once;
  Moe moe = RoutedBy(shard.topk_group, model.moe);
  moe.experts += shard.redundant_experts;
  const bool whole_nodes = on_node > 1 && on_node < ranks && ranks % on_node == 0;
  if (once == SentOnce::kPerNode && !whole_nodes) once = SentOnce::kPerDevice;
  return {.ranks = ranks,
          .ranks_per_node = on_node,
          .sent_once = once,
          .uniform = SpreadOf(moe, ranks, on_node)};
}

}  // namespace moecast
