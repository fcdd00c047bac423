#include "costmodel/expert_load.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

double NormalDensity(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * M_PI);
}
double NormalCdf(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

// Expectation of f(z) for z the largest of n independent standard normal variables: the integral of
// f over d(Phi(z)^n), by the trapezoid rule, which converges fast on smooth integrands that vanish
// at the ends.
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

double ExpertsHit(int experts, double each, double tokens) {
  return experts * (1 - std::pow(1 - each, tokens));
}

ExpertLoad LoadOf(const RoutingLoad& routing, int devices) {
  // Above the capacity only the part of the load that is never dropped stays.
  const auto cut = [&](double load) {
    if (!routing.capacity_factor || load <= *routing.capacity_factor) return load;
    return std::max(*routing.capacity_factor, load * routing.never_dropped);
  };
  const auto all = [](Share share) { return ExpertLoad{share, share, share}; };
  if (devices == 1 || routing.device_cv == 0) return all({cut(1), cut(1)});
  const double variance = std::log1p(routing.device_cv * routing.device_cv),
               sigma = std::sqrt(variance);
  const auto load = [&](double z) { return cut(std::exp(sigma * z - variance / 2)); };
  return all({routing.capacity_factor ? ExpectationOfLargest(1, load) : 1,
              ExpectationOfLargest(devices, load)});
}

ExpertLoad MeanOf(std::span<const ExpertLoad> loads) {
  ExpertLoad mean{{0, 0}, {0, 0}, {0, 0}, {0, 0}};
  const auto n = static_cast<double>(loads.size());
  for (const ExpertLoad& load : loads)
    for (Share ExpertLoad::*of : kShares) {
      (mean.*of).mean += (load.*of).mean / n;
      (mean.*of).most += (load.*of).most / n;
    }
  return mean;
}

ExpertLoad EvenOf(const ExpertLoad& load) {
  ExpertLoad even = load;
  for (Share ExpertLoad::*of : kShares) (even.*of).most = (even.*of).mean;
  return even;
}

}  // namespace moecast
