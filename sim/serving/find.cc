#include "sim/serving/find.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr double kPrecision = 1.01;  // of a rate
constexpr double kFurthest = 1e5;    // speed-ups tried: from one over this to this

ServingTrial Try(const ServingRun& run, IterationCosts& costs, const Slo& slo, double speedup) {
  const ServingOutcome outcome = Simulate(run, costs);
  ServingTrial trial{
      .speedup = speedup, .replicas = run.deployment.replicas, .gpus = run.deployment.gpus()};
  const Time last = run.load.requests.back().arrival;
  const auto requests = static_cast<double>(run.load.requests.size());
  trial.request_rate = last > Time{} ? requests / last.seconds().value : 0;
  trial.rates = RatesOf(run.load, outcome);
  trial.stable = IsStable(run.load, outcome);
  trial.holds = trial.stable && Meets(trial.rates, slo);
  return trial;
}

// Sorts the trials and keeps what was found last of those that hold.
ServingSearch Finished(ServingSearch search, const ServingRun& best, const ServingTrial* found) {
  if (found) {
    search.best = best;
    const double lasts = best.load.requests.back().arrival.seconds().value;
    search.short_load = lasts < 10 * found->rates.e2el.mean.value;
  }
  return search;
}

}  // namespace

ServingSearch FindRate(const ServingRun& run, IterationCosts& costs, const Slo& slo) {
  MOECAST_CHECK(run.load.requests.back().arrival > Time{} && !run.load.concurrency);
  ServingSearch search;
  ServingRun tried = run, best = run;
  std::optional<ServingTrial> found;
  const auto holds = [&](double speedup) {
    tried.load = SpedUp(run.load, speedup);
    search.trials.push_back(Try(tried, costs, slo, speedup));
    if (!search.trials.back().holds) return false;
    found = search.trials.back();
    best.load = tried.load;
    return true;
  };
  // Doubled or halved until the limit lies between two, then halved in proportion.
  double low = 1, high = 1;
  if (holds(1)) {
    while (high < kFurthest && holds(high *= 2)) low = high;
  } else {
    // A load that is slowed down ends within what a trace may last.
    const double lasts = run.load.requests.back().arrival.seconds().value;
    const double lowest = std::max(1 / kFurthest, lasts / (0.99 * kLastArrivalSeconds));
    while (low / 2 > lowest && !holds(low /= 2)) high = low;
  }
  while (found && low < high && high / low > kPrecision) {
    const double middle = std::sqrt(low * high);
    (holds(middle) ? low : high) = middle;
  }
  std::sort(search.trials.begin(), search.trials.end(),
            [](const ServingTrial& a, const ServingTrial& b) { return a.speedup < b.speedup; });
  return Finished(std::move(search), best, found ? &*found : nullptr);
}

ServingSearch FindReplicas(const ServingRun& run, IterationCosts& costs, const Slo& slo, int most) {
  MOECAST_CHECK(most >= 1);
  ServingSearch search;
  ServingRun tried = run, best = run;
  std::optional<ServingTrial> found;
  const auto holds = [&](int replicas) {
    tried.deployment.replicas = replicas;
    search.trials.push_back(Try(tried, costs, slo, 1));
    if (!search.trials.back().holds) return false;
    found = search.trials.back();
    best.deployment.replicas = replicas;
    return true;
  };
  // Doubled until they hold the load, then bisected between the last two.
  int low = 0, high = 1;
  while (!holds(high) && high < most) {
    low = high;
    high = static_cast<int>(std::min<int64_t>(int64_t{2} * high, most));
  }
  while (found && high - low > 1) {
    const int middle = low + (high - low) / 2;
    (holds(middle) ? high : low) = middle;
  }
  std::sort(search.trials.begin(), search.trials.end(),
            [](const ServingTrial& a, const ServingTrial& b) { return a.replicas < b.replicas; });
  return Finished(std::move(search), best, found ? &*found : nullptr);
}

}  // namespace moecast
