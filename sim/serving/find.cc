#include "sim/serving/find.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "base/check.h"
#include "sim/serving/serving_memory.h"

namespace moecast {
namespace {

constexpr double kPrecision = 1.01;  // of a rate
constexpr double kFurthest = 1e5;    // speed-ups tried: from one over this to this

// The trial that comes next, added to the others.
const ServingTrial& Try(const ServingRun& run, ServingCosts& costs, const Slo& slo, double speedup,
                        const ProgressFn& progress, std::vector<ServingTrial>& trials) {
  ProgressFn of_trial;
  if (progress)
    of_trial = [&](const std::string&, double part) {
      progress("trial " + std::to_string(trials.size() + 1), part);
    };
  const ServingOutcome outcome = Simulate(run, costs, {}, of_trial);
  ServingTrial trial{.speedup = speedup,
                     .parallel = run.deployment.parallel,
                     .replicas = run.deployment.replicas,
                     .gpus = run.deployment.gpus()};
  if (run.deployment.prefill) trial.prefill_replicas = run.deployment.prefill->replicas;
  const Time last = run.load.requests.back().arrival;
  const auto requests = static_cast<double>(run.load.requests.size());
  trial.request_rate = last > Time{} ? requests / last.seconds().value : 0;
  trial.rates = RatesOf(run.load, outcome);
  trial.stable = IsStable(run.load, outcome);
  trial.holds = trial.stable && Meets(trial.rates, slo);
  return trials.emplace_back(trial);
}

// Neither a closed loop nor all at once, which are paced by what is served.
bool ArrivesOverTime(const RequestTrace& load) {
  return !load.concurrency && load.requests.back().arrival > Time{};
}

// Sorts the trials and keeps what was found last of those that hold.
ServingSearch Finished(ServingSearch search, const ServingRun& best, const ServingTrial* found) {
  if (found) {
    search.best = best;
    const double lasts = best.load.requests.back().arrival.seconds().value;
    search.short_load = ArrivesOverTime(best.load) && lasts < 10 * found->rates.e2el.mean.value;
  }
  return search;
}

}  // namespace

ServingSearch FindRate(const ServingRun& run, ServingCosts& costs, const Slo& slo,
                       const ProgressFn& progress) {
  MOECAST_CHECK(ArrivesOverTime(run.load));
  ServingSearch search;
  ServingRun tried = run, best = run;
  std::optional<ServingTrial> found;
  const auto holds = [&](double speedup) {
    tried.load = SpedUp(run.load, speedup);
    const ServingTrial& trial = Try(tried, costs, slo, speedup, progress, search.trials);
    if (!trial.holds) return false;
    found = trial;
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
  if (found) search.headroom = found->speedup;
  return Finished(std::move(search), best, found ? &*found : nullptr);
}

namespace {

// The least n from `low` to `high` for which holds(n), which is monotone: doubled until it does,
// then bisected. Nothing where there is none.
template <class Holds>
std::optional<int> Least(int low, int high, Holds holds) {
  int below = low - 1, at = low;
  while (at <= high && !holds(at)) {
    if (at == high) return std::nullopt;
    below = at;
    at = static_cast<int>(std::min<int64_t>(int64_t{2} * at, high));
  }
  if (at > high) return std::nullopt;
  while (at - below > 1) {
    const int middle = below + (at - below) / 2;
    (holds(middle) ? at : below) = middle;
  }
  return at;
}

}  // namespace

ServingSearch FindReplicas(const ServingRun& run, ServingCosts& costs, const Slo& slo,
                           const ProgressFn& progress) {
  ServingSearch search;
  ServingRun tried = run, best = run;
  std::optional<ServingTrial> found;
  const int each = run.deployment.parallel.gpus();
  const bool apart = run.deployment.prefill.has_value();
  const int prefill_each = apart ? run.deployment.prefill->parallel.gpus() : 0;
  const auto holds = [&](int prefill, int replicas) {
    tried.deployment.replicas = replicas;
    if (apart) tried.deployment.prefill->replicas = prefill;
    const ServingTrial& trial = Try(tried, costs, slo, 1, progress, search.trials);
    if (!trial.holds) return false;
    if (!found || trial.gpus < found->gpus) {
      found = trial;
      best.deployment = tried.deployment;
    }
    return true;
  };
  // Replicas that the cluster has beside so many that prefill.
  const auto beside = [&](int prefill) {
    return (run.cluster.gpus - prefill * prefill_each) / each;
  };
  if (!apart) {
    Least(1, beside(0), [&](int n) { return holds(0, n); });
  } else {
    // Each pool's fewest beside as many of the other as there are; then along the edge of what
    // holds, as far as fewer GPUs than found are possible.
    const int most = (run.cluster.gpus - each) / prefill_each;
    const auto prefill = Least(1, most, [&](int p) { return holds(p, beside(p)); });
    const auto fewest = !prefill ? std::nullopt : Least(1, beside(*prefill), [&](int r) {
      return holds(std::min(most, (run.cluster.gpus - r * each) / prefill_each), r);
    });
    for (int p = prefill.value_or(1); fewest && p <= most; ++p) {
      if (p * prefill_each + *fewest * each >= found->gpus) break;
      Least(*fewest, beside(p), [&](int r) { return holds(p, r); });
    }
  }
  std::stable_sort(search.trials.begin(), search.trials.end(),
                   [](const ServingTrial& a, const ServingTrial& b) { return a.gpus < b.gpus; });
  return Finished(std::move(search), best, found ? &*found : nullptr);
}

namespace {

// Deployments with as many GPUs that can be laid out and have memory for a cache.
std::vector<Deployment> LayoutsOf(const ServingRun& run) {
  std::vector<Deployment> layouts;
  const int gpus = run.deployment.gpus();
  Deployment tried = run.deployment;
  for (int tp = 1; tp <= gpus; ++tp)
    for (int dp = 1; tp * dp <= gpus; ++dp)
      for (int pp = 1; tp * dp * pp <= gpus; ++pp) {
        if (gpus % (tp * dp * pp) != 0 || !MayBeStages(tp * dp, pp, run.cluster)) continue;
        tried.replicas = gpus / (tp * dp * pp);
        for (const int ep : std::set<int>{1, dp, tp * dp}) {
          tried.parallel = {.tp = tp, .dp = dp, .ep = ep, .pp = pp};
          if (!CheckDeployment(tried, run.model, run.cluster) &&
              Fits(tried, run.model, run.cluster))
            layouts.push_back(tried);
        }
      }
  return layouts;
}

}  // namespace

ServingSearch FindLayout(const ServingRun& run, const Slo& slo, const ProgressFn& progress) {
  MOECAST_CHECK(!run.deployment.prefill);
  ServingSearch search;
  ServingRun tried = run;
  for (Deployment& layout : LayoutsOf(run)) {
    tried.deployment = std::move(layout);
    ServingCosts costs(tried);
    Try(tried, costs, slo, 1, progress, search.trials);
  }
  const bool paced = !ArrivesOverTime(run.load);
  std::stable_sort(search.trials.begin(), search.trials.end(),
                   [paced](const ServingTrial& a, const ServingTrial& b) {
                     if (a.holds != b.holds) return a.holds;
                     if (a.stable != b.stable) return a.stable;
                     if (paced || !a.stable) return a.rates.output_tokens > b.rates.output_tokens;
                     return a.rates.e2el.mean < b.rates.e2el.mean;
                   });
  if (search.trials.empty() || !search.trials.front().holds) return search;
  const ServingTrial& found = search.trials.front();
  tried.deployment = run.deployment;
  tried.deployment.parallel = found.parallel;
  tried.deployment.replicas = found.replicas;
  return Finished(std::move(search), tried, &found);
}

}  // namespace moecast
