#include "sim/forecast/diff.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"

namespace moecast {
namespace {

// Time of a token by the clock, mean over all phases, and of its GPUs.
struct PerToken {
  double seconds = 0, gpu_seconds = 0;
};

std::map<std::string, PerToken> ByCause(const TrainReport& r) {
  std::map<std::string, PerToken> causes;
  for (const PhaseReport& phase : r.phases)
    for (const BreakdownRow& row : phase.breakdown) {
      PerToken& cause = causes[row.name];
      cause.seconds += row.time.value / r.tokens;
      cause.gpu_seconds += row.time.value / r.tokens * static_cast<double>(phase.gpus);
    }
  return causes;
}

}  // namespace

PlanDifference Difference(const TrainReport& a, const Forecast& forecast_a, const TrainReport& b,
                          const Forecast& forecast_b) {
  MOECAST_CHECK(forecast_a.draws.size() == forecast_b.draws.size());
  PlanDifference d{.of_a = Seconds(0), .total = {.cause = "total"}, .causes = {}, .headlines = {}};
  std::map<std::string, PerToken> of_a = ByCause(a), of_b = ByCause(b);
  for (const auto& [name, cause] : of_a) {
    d.of_a += Seconds(cause.seconds * a.tokens_per_step);
    of_b.try_emplace(name);
  }
  for (const auto& [name, cause] : of_b) {
    const PerToken& from = of_a[name];
    d.causes.push_back({name, Seconds((cause.seconds - from.seconds) * a.tokens_per_step),
                        (cause.gpu_seconds - from.gpu_seconds) * 1e6});
    d.total.time += d.causes.back().time;
    d.total.gpu_seconds_per_million_tokens += d.causes.back().gpu_seconds_per_million_tokens;
  }
  std::erase_if(d.causes, [](const CauseDifference& c) {
    return c.time.value == 0 && c.gpu_seconds_per_million_tokens == 0;
  });
  std::stable_sort(d.causes.begin(), d.causes.end(),
                   [](const CauseDifference& x, const CauseDifference& y) {
                     return std::fabs(x.gpu_seconds_per_million_tokens) >
                            std::fabs(y.gpu_seconds_per_million_tokens);
                   });

  for (const HeadlineName& h : kHeadlines) {
    if (h.of_outages && !a.has_outages && !b.has_outages) continue;
    HeadlineDifference row{h.name, a.interval(h.figure), b.interval(h.figure), {}, std::nullopt};
    std::vector<double> differences, percents;
    for (size_t i = 0; i < forecast_a.draws.size(); ++i) {
      const double in_a = forecast_a.draws[i].headlines.*h.figure,
                   in_b = forecast_b.draws[i].headlines.*h.figure;
      differences.push_back(in_b - in_a);
      if (in_a != 0) percents.push_back(100 * (in_b / in_a - 1));
    }
    row.difference = IntervalOf(std::move(differences));
    if (percents.size() == forecast_a.draws.size()) row.percent = IntervalOf(std::move(percents));
    d.headlines.push_back(std::move(row));
  }
  return d;
}

}  // namespace moecast
