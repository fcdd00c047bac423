#include "sim/serving/router.h"

#include <algorithm>

namespace moecast {
namespace {

int64_t LoadOf(const Scheduler* rank) {
  return rank->waiting() + rank->running();
}

size_t InTurn(std::span<Scheduler* const> ranks, int64_t turn, const SequenceAsked&) {
  return static_cast<size_t>(turn) % ranks.size();
}

size_t LeastLoaded(std::span<Scheduler* const> ranks, int64_t, const SequenceAsked&) {
  const auto least = std::min_element(
      ranks.begin(), ranks.end(),
      [](const Scheduler* a, const Scheduler* b) { return LoadOf(a) < LoadOf(b); });
  return static_cast<size_t>(least - ranks.begin());
}

// SGLang's router, policy cache_aware with its defaults (its documentation of load balancing): a
// prompt of which a rank has 30% goes there, unless the loads differ by more than 64 requests and
// by more than half.
constexpr double kCacheThreshold = 0.3;
constexpr int64_t kBalanceAbsolute = 64;
constexpr double kBalanceRelative = 1.5;

size_t PrefixAffinity(std::span<Scheduler* const> ranks, int64_t turn, const SequenceAsked& asked) {
  const size_t least = LeastLoaded(ranks, turn, asked);
  const int64_t lowest = LoadOf(ranks[least]);
  size_t best = least;
  int64_t most = 0, highest = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    highest = std::max(highest, LoadOf(ranks[i]));
    const int64_t cached = ranks[i]->CachedOf(asked);
    if (cached <= most) continue;
    most = cached;
    best = i;
  }
  const bool uneven = highest - lowest > kBalanceAbsolute &&
                      static_cast<double>(highest) > kBalanceRelative * static_cast<double>(lowest);
  const bool known =
      static_cast<double>(most) > kCacheThreshold * static_cast<double>(asked.input_tokens);
  return known && !uneven ? best : least;
}

constexpr RouterPolicy kPolicies[] = {
    {"round-robin", "each rank in turn", false, InTurn},
    {"least-loaded", "the rank with the fewest requests, waiting and running", true, LeastLoaded},
    {"prefix-affinity",
     "the rank whose cache has most of the prompt, where that is over 30% of it and loads are not "
     "too uneven; else the least loaded",
     true, PrefixAffinity},
};

}  // namespace

std::span<const RouterPolicy> RouterPolicies() {
  return kPolicies;
}

const RouterPolicy* FindRouterPolicy(std::string_view name) {
  for (const RouterPolicy& policy : kPolicies)
    if (policy.name == name) return &policy;
  return nullptr;
}

}  // namespace moecast
