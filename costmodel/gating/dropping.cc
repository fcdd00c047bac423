#include "costmodel/gating/dropping.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {

bool IsProtected(int64_t sequence, double fraction) {
  const auto before = static_cast<double>(sequence);
  return std::floor((before + 1) * fraction) > std::floor(before * fraction);
}

std::vector<bool> VisitsToDrop(const Choices& choices, int experts, int devices,
                               double capacity_factor, const std::vector<bool>& protected_token) {
  MOECAST_CHECK(experts % devices == 0 && protected_token.size() == choices.tokens());
  std::vector<int64_t> visits(devices);
  std::vector<std::vector<uint32_t>> may_go(devices);
  const int on_device = experts / devices;
  for (size_t t = 0; t < choices.tokens(); ++t) {
    for (uint32_t i = choices.begin[t]; i < choices.begin[t + 1]; ++i) {
      const int device = choices.expert[i] / on_device;
      ++visits[device];
      if (!protected_token[t]) may_go[device].push_back(i);
    }
  }
  const auto capacity = static_cast<int64_t>(
      std::floor(capacity_factor * static_cast<double>(choices.expert.size()) / devices));
  std::vector<bool> dropped(choices.expert.size());
  for (int d = 0; d < devices; ++d) {
    auto& candidates = may_go[d];
    const int64_t excess = std::min(std::max<int64_t>(0, visits[d] - capacity),
                                    static_cast<int64_t>(candidates.size()));
    const auto end = candidates.begin() + excess;
    std::nth_element(candidates.begin(), end, candidates.end(), [&](uint32_t a, uint32_t b) {
      return choices.affinity[a] != choices.affinity[b] ? choices.affinity[a] < choices.affinity[b]
                                                        : a > b;
    });
    std::for_each(candidates.begin(), end, [&](uint32_t i) { dropped[i] = true; });
  }
  return dropped;
}

Choices Without(const Choices& choices, const std::vector<bool>& dropped) {
  Choices left;
  for (size_t t = 0; t < choices.tokens(); ++t) {
    for (uint32_t i = choices.begin[t]; i < choices.begin[t + 1]; ++i) {
      if (dropped[i]) continue;
      left.expert.push_back(choices.expert[i]);
      left.affinity.push_back(choices.affinity[i]);
    }
    left.begin.push_back(static_cast<uint32_t>(left.expert.size()));
  }
  return left;
}

}  // namespace moecast
