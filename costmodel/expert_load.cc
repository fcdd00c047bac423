#include "costmodel/expert_load.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

double LogChoose(double n, double k) {
  if (k < 0 || k > n) return -INFINITY;
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

double NormalDensity(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}
double NormalCdf(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

// Expected number of `parts` equal contiguous parts of the experts that hold one of a token's.
//
// A part overlaps a group it starts in by `first` experts, `whole` groups entirely and a group it ends in by
// `last`. With x and y saying whether the two are among the groups taken, and j of the whole ones, the token
// misses the part with
//   P = sum over x, y, j of  P(x, y, j) C(candidates - x first - y last - j group, top_k) / C(candidates,
//   top_k).
double PartsHit(const Moe& moe, int parts) {
  const int group = moe.experts / moe.groups, part = moe.experts / parts, candidates = group * moe.top_groups;
  const double ways_to_group = LogChoose(moe.groups, moe.top_groups),
               ways_to_choose = LogChoose(candidates, moe.top_k);
  const auto hit = [&](int begin) {
    const int end = begin + part, first_whole = (begin + group - 1) / group, after_whole = end / group;
    int first = first_whole * group - begin, last = end - after_whole * group;
    if (after_whole < first_whole) {  // inside one group
      first = part;
      last = 0;
    }
    const int whole = std::max(0, after_whole - first_whole),
              others = moe.groups - whole - (first > 0) - (last > 0);
    double missed = 0;
    for (int x = 0; x <= (first > 0); ++x) {
      for (int y = 0; y <= (last > 0); ++y) {
        for (int j = 0; j <= whole; ++j)
          missed +=
              std::exp(LogChoose(whole, j) + LogChoose(others, moe.top_groups - j - x - y) - ways_to_group +
                       LogChoose(candidates - x * first - y * last - j * group, moe.top_k) - ways_to_choose);
      }
    }
    return 1 - missed;
  };
  if (part % group == 0 || group % part == 0) return parts * hit(0);  // all parts lie alike
  double sum = 0;
  for (int p = 0; p < parts; ++p) sum += hit(p * part);
  return sum;
}

// Expectation of f(z) for z the largest of n independent standard normal variables: the integral of f over
// d(Phi(z)^n), by the trapezoid rule, which converges fast on smooth integrands that vanish at the ends.
template <class Function>
double ExpectationOfLargest(int n, Function f) {
  constexpr int kSteps = 500;
  constexpr double kReach = 9;
  double sum = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const double z = -kReach + 2 * kReach * i / kSteps;
    sum += f(z) * n * std::pow(NormalCdf(z), n - 1) * NormalDensity(z);
  }
  return sum * 2 * kReach / kSteps;
}

}  // namespace

double ExpectedMaximumOfNormals(int n) {
  MOECAST_CHECK(n >= 1);
  return ExpectationOfLargest(n, [](double z) { return z; });
}

ExpertLoad LoadOf(const RoutingLoad& routing, int devices) {
  // Above the capacity only the part of the load that is never dropped stays.
  const auto cut = [&](double load) {
    if (!routing.capacity_factor || load <= *routing.capacity_factor) return load;
    return std::max(*routing.capacity_factor, load * routing.never_dropped);
  };
  if (devices == 1 || routing.device_cv == 0) return {.kept = cut(1), .slowest = cut(1)};
  const double variance = std::log1p(routing.device_cv * routing.device_cv), sigma = std::sqrt(variance);
  const auto load = [&](double z) { return cut(std::exp(sigma * z - variance / 2)); };
  return {.kept = routing.capacity_factor ? ExpectationOfLargest(1, load) : 1,
          .slowest = ExpectationOfLargest(devices, load)};
}

TokenSpread SpreadOf(const Moe& moe, int ep, int ranks_per_node) {
  MOECAST_CHECK(moe.experts % ep == 0 && moe.experts % moe.groups == 0 && ranks_per_node >= 1);
  TokenSpread spread;
  spread.devices = PartsHit(moe, ep);
  spread.experts = moe.top_k;
  if (ep <= ranks_per_node) return spread;
  spread.nodes = ep % ranks_per_node == 0 ? PartsHit(moe, ep / ranks_per_node) : spread.devices;
  return spread;
}

}  // namespace moecast
