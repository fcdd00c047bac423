#include "viz/headline_view.h"

#include "base/check.h"
#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {

const HeadlineStyle& StyleOf(std::string_view name) {
  static constexpr HeadlineStyle kStyles[] = {
      {"step_time_s", "step time", [](double x) { return ShowSeconds(Seconds(x), 4); }},
      {"tokens_per_gpu_per_s", "tokens/s per GPU", [](double x) { return Printf("%.0f", x); }},
      {"model_tflops_per_gpu", "model TFLOP/s per GPU", [](double x) { return Printf("%.0f", x); }},
      {"mfu", "MFU", [](double x) { return Printf("%.1f%%", 100 * x); }},
      {"gpu_hours_per_trillion_tokens", "GPU-hours per trillion tokens",
       [](double x) { return Printf("%.1f K", x / 1e3); }},
      {"gpu_hours_total", "GPU-hours", [](double x) { return ShowCount(x, 4); }},
      {"days", "days", [](double x) { return Printf("%.1f", x); }},
      {"cost_usd", "USD", [](double x) { return ShowCount(x, 3); }},
      {"wall_days", "days with failures", [](double x) { return Printf("%.1f", x); }},
      {"wall_cost_usd", "USD with failures", [](double x) { return ShowCount(x, 3); }},
      {"availability", "availability", [](double x) { return Printf("%.2f%%", 100 * x); }},
  };
  static_assert(std::size(kStyles) == std::size(kHeadlines));
  for (const HeadlineStyle& style : kStyles)
    if (style.name == name) return style;
  MOECAST_CHECK(false);
}

std::vector<HeadlineName> ShownHeadlines(const TrainReport& r) {
  std::vector<HeadlineName> headlines;
  for (const HeadlineName& h : kHeadlines)
    if (!h.of_outages || r.has_outages) headlines.push_back(h);
  return headlines;
}

Json IntervalJson(const Interval& i) {
  return {{"p10", i.p10}, {"p50", i.p50}, {"p90", i.p90}};
}

Json IntervalsJson(const TrainReport& r) {
  Json j = Json::object();
  for (const HeadlineName& h : ShownHeadlines(r)) j[h.name] = IntervalJson(r.interval(h.figure));
  j["memory_peak_bytes"] = IntervalJson(r.memory_peak);
  return j;
}

}  // namespace moecast
