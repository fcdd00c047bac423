#include "viz/diff_view.h"

#include <cmath>

#include "base/error.h"
#include "base/quantity_text.h"
#include "viz/headline_view.h"
#include "viz/table.h"

namespace moecast {
namespace {

Json SideJson(const DiffSide& side) {
  const TrainReport& r = side.report;
  Json j = {{"scenario", side.label},
            {"step_time_s", r.step_time.value},
            {"tokens_per_step", r.tokens_per_step},
            {"gpus", r.gpus},
            {"intervals", IntervalsJson(r)},
            {"memory",
             {{"fits", r.fits},
              {"peak_bytes", r.peak_memory.value},
              {"device_bytes", r.device_memory.value},
              {"fits_share", r.fits_share}}},
            {"traffic",
             {{"nvlink_bytes_per_gpu", r.nvlink_per_gpu.value},
              {"ib_bytes_per_gpu", r.network_per_gpu.value}}},
            {"extrapolated_fraction", r.extrapolated_fraction}};
  j["breakdown"] = Json::array();
  for (const BreakdownRow& row : r.breakdown)
    j["breakdown"].push_back(
        {{"name", row.name}, {"seconds", row.time.value}, {"fraction", row.fraction}});
  return j;
}

std::string Signed(const std::string& text) {
  return text.starts_with('-') ? text : "+" + text;
}

// A field's value on a line.
std::string ValueText(const Json& value) {
  return value.is_null()
             ? "-"
             : Shortened(value.is_string() ? value.get<std::string>() : DumpJson(value, -1), 40);
}

std::string MemoryText(const TrainReport& r) {
  return ShowBytes(r.peak_memory) + (r.fits ? "" : ", does not fit");
}

}  // namespace

Json DiffJson(const DiffSide& a, const DiffSide& b, const std::vector<JsonDifference>& fields,
              const PlanDifference& d) {
  Json j = {{"a", SideJson(a)}, {"b", SideJson(b)}, {"fields", Json::array()}};
  for (const JsonDifference& f : fields)
    j["fields"].push_back({{"pointer", f.pointer}, {"a", f.a}, {"b", f.b}});
  j["difference_s"] = d.total.time.value;
  j["difference_gpu_seconds_per_million_tokens"] = d.total.gpu_seconds_per_million_tokens;
  j["causes"] = Json::array();
  for (const CauseDifference& c : d.causes)
    j["causes"].push_back({{"cause", c.cause},
                           {"seconds", c.time.value},
                           {"gpu_seconds_per_million_tokens", c.gpu_seconds_per_million_tokens}});
  j["intervals"] = Json::object();
  for (const HeadlineDifference& h : d.headlines)
    j["intervals"][h.name] = {{"difference", IntervalJson(h.difference)},
                              {"percent", h.percent ? IntervalJson(*h.percent) : Json()}};
  j["memory_peak_bytes"] = (b.report.peak_memory - a.report.peak_memory).value;
  j["traffic"] = {
      {"nvlink_bytes_per_gpu", (b.report.nvlink_per_gpu - a.report.nvlink_per_gpu).value},
      {"ib_bytes_per_gpu", (b.report.network_per_gpu - a.report.network_per_gpu).value}};
  return j;
}

std::string DiffText(const DiffSide& a, const DiffSide& b,
                     const std::vector<JsonDifference>& fields, const PlanDifference& d) {
  std::string out = "A  " + a.label + "\nB  " + b.label + "\n";
  if (fields.empty()) out += "\nno field differs\n";
  if (!fields.empty()) {
    Rows rows = {{"field", "A", "B"}};
    for (const JsonDifference& f : fields)
      rows.push_back({f.pointer, ValueText(f.a), ValueText(f.b)});
    out += "\n" + Aligned(rows, "lll");
  }

  const double percent = 100 * (d.total.time / d.of_a);
  out += "\n" +
         Printf(
             "B takes %s %s (%.1f%%) for the %s tokens of a step of A; in GPU-seconds per million "
             "tokens %s\n",
             ShowSeconds(Seconds(std::fabs(d.total.time.value))).c_str(),
             d.total.time.value < 0 ? "less" : "more", std::fabs(percent),
             ShowCount(a.report.tokens_per_step, 3).c_str(),
             Signed(ShowNumber(d.total.gpu_seconds_per_million_tokens, 4)).c_str());
  // Of equal work a remainder of the engine's picoseconds may be left.
  const double shown = 1e-6 * d.of_a.value;
  Rows causes;
  for (const CauseDifference& c : d.causes)
    if (std::fabs(c.time.value) > shown)
      causes.push_back({c.cause, Signed(ShowSeconds(c.time)),
                        Signed(ShowNumber(c.gpu_seconds_per_million_tokens, 4))});
  if (!causes.empty()) {
    causes.insert(causes.begin(), {"B less A, mean over stages", "time", "GPU-s per M tokens"});
    out += Aligned(causes, "lrr");
  }

  Rows rows = {{"medians over all draws", "A", "B", "B less A", "80% interval, draw by draw"}};
  for (const HeadlineDifference& h : d.headlines) {
    const HeadlineStyle& style = StyleOf(h.name);
    rows.push_back({style.label, style.show(h.a.p50), style.show(h.b.p50),
                    h.percent ? Printf("%+.1f%%", h.percent->p50) : "",
                    h.percent ? Printf("%+.1f%% .. %+.1f%%", h.percent->p10, h.percent->p90) : ""});
  }
  const auto row = [&](const char* label, Bytes in_a, Bytes in_b) {
    rows.push_back({label, ShowBytes(in_a), ShowBytes(in_b), Signed(ShowBytes(in_b - in_a)), ""});
  };
  row("NVLink of a GPU and step", a.report.nvlink_per_gpu, b.report.nvlink_per_gpu);
  row("InfiniBand of a GPU and step", a.report.network_per_gpu, b.report.network_per_gpu);
  rows.push_back({"memory of the fullest rank", MemoryText(a.report), MemoryText(b.report),
                  Signed(ShowBytes(b.report.peak_memory - a.report.peak_memory)), ""});
  return out + "\n" + Aligned(rows, "lrrrl");
}

}  // namespace moecast
