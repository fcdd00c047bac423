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
  };
  static_assert(std::size(kStyles) == std::size(kHeadlines));
  for (const HeadlineStyle& style : kStyles)
    if (style.name == name) return style;
  MOECAST_CHECK(false);
}

Json IntervalJson(const Interval& i) {
  return {{"p10", i.p10}, {"p50", i.p50}, {"p90", i.p90}};
}

Json IntervalsJson(const TrainReport& r) {
  Json j = Json::object();
  for (const NamedInterval& i : r.intervals) j[i.name] = IntervalJson(i.interval);
  j["memory_peak_bytes"] = IntervalJson(r.memory_peak);
  return j;
}

}  // namespace moecast
