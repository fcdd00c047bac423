#include "sim/forecast/diff.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

// What a second of each plan's step counts for.
struct Scale {
  double a = 1, b = 1;
};

double SecondsPerMillionTokens(const TrainReport& r) {
  return static_cast<double>(r.gpus) / r.tokens_per_step * 1e6;
}

}  // namespace

PlanDifference Difference(const TrainReport& a, const Forecast& forecast_a, const TrainReport& b,
                          const Forecast& forecast_b) {
  MOECAST_CHECK(forecast_a.draws.size() == forecast_b.draws.size());
  const Scale step{1, a.tokens_per_step / b.tokens_per_step},
      gpu{SecondsPerMillionTokens(a), SecondsPerMillionTokens(b)};
  const auto difference = [&](const std::string& cause, Seconds in_a, Seconds in_b) {
    return CauseDifference{cause, in_b * step.b - in_a * step.a, in_b.value * gpu.b - in_a.value * gpu.a};
  };
  const auto time_of = [](const TrainReport& r, const std::string& cause) {
    for (const BreakdownRow& row : r.breakdown)
      if (row.name == cause) return row.time;
    return Seconds(0);
  };

  PlanDifference d;
  d.total = difference("total", a.step_time, b.step_time);
  for (const BreakdownRow& row : a.breakdown)
    d.causes.push_back(difference(row.name, row.time, time_of(b, row.name)));
  for (const BreakdownRow& row : b.breakdown)
    if (time_of(a, row.name).value == 0) d.causes.push_back(difference(row.name, Seconds(0), row.time));
  std::erase_if(d.causes, [](const CauseDifference& c) {
    return c.time.value == 0 && c.gpu_seconds_per_million_tokens == 0;
  });
  std::stable_sort(d.causes.begin(), d.causes.end(), [](const CauseDifference& x, const CauseDifference& y) {
    return std::fabs(x.gpu_seconds_per_million_tokens) > std::fabs(y.gpu_seconds_per_million_tokens);
  });

  for (const HeadlineName& h : kHeadlines) {
    HeadlineDifference row{
        h.name, IntervalOf(forecast_a, h.figure), IntervalOf(forecast_b, h.figure), {}, std::nullopt};
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
