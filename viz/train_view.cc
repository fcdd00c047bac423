#include "viz/train_view.h"

#include <cmath>

#include "base/quantity_text.h"
#include "viz/phases_view.h"
#include "viz/table.h"

namespace moecast {
namespace {

struct MemoryPart {
  const char* name;
  Bytes bytes;
};
std::vector<MemoryPart> PartsOf(const StageMemory& m) {
  return {
      {"weights", m.states.weights},  {"gradients", m.states.gradients}, {"optimizer", m.states.optimizer},
      {"activations", m.activations}, {"transient", m.transient},        {"buffers", m.buffers},
      {"runtime", m.runtime}};
}

// 50 characters for the whole.
std::string Bar(double fraction) {
  return std::string(static_cast<size_t>(std::lround(fraction * 50)), '#');
}

// "4 (12 stages), 3": runs of equal numbers.
std::string Runs(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t j = i;
    while (j < numbers.size() && numbers[j] == numbers[i]) ++j;
    text += (text.empty() ? "" : ", ") + Printf("%d", numbers[i]) +
            (j - i > 1 ? Printf(" (%zu stages)", j - i) : "");
    i = j;
  }
  return text;
}

// The name of a source without what it says of itself: "wgrad" of "wgrad: reasoned: ...".
std::string ShortSource(const std::string& source) {
  return source.substr(0, source.find(": "));
}

std::string IntervalText(const Interval& i, double scale, const char* unit) {
  return Printf("%.1f%s  (80%% interval %.1f .. %.1f)", i.p50 / scale, unit, i.p10 / scale, i.p90 / scale);
}

}  // namespace

Json TrainJson(const TrainReport& r, const std::optional<PublishedCost>& published) {
  Json j = Json::object();
  j["scenario"] = r.name;
  j["model"] = r.model;
  j["cluster"] = r.cluster;
  j["source"] = r.source;
  j["level"] = "analytic";
  j["schedule"] = r.schedule;
  j["stage_layers"] = r.stage_layers;
  j["micro_batches"] = r.micro_batches;
  j["detailed_phase"] = r.phases[r.phase].name;
  j["step_time_s"] = r.step_time.value;
  j["tokens_per_step"] = r.tokens_per_step;
  j["gpus"] = r.gpus;
  j["tokens_per_gpu_per_s"] = r.tokens_per_gpu_per_s;
  j["gpu_hours_per_trillion_tokens"] = IntervalJson(r.gpu_hours_per_trillion_tokens);
  if (published) {
    j["published"] = {
        {"gpu_hours_per_trillion_tokens", published->gpu_hours_per_trillion_tokens},
        {"error_percent",
         100 * (r.gpu_hours_per_trillion_tokens.p50 / published->gpu_hours_per_trillion_tokens - 1)},
        {"source", published->source}};
  }
  j["gpu_hours_total"] = r.total.gpu_hours;
  j["days"] = r.total.days;
  j["cost_usd"] = r.total.cost_usd;
  if (r.has_outages) {
    j["wall_days"] = r.total.wall_days;
    j["wall_cost_usd"] = r.total.wall_cost_usd;
    j["availability"] = r.total.days / r.total.wall_days;
  }
  j["model_tflops_per_gpu"] = r.model_tflops_per_gpu;
  j["mfu"] = r.mfu;
  j["flops_convention"] = kFlopsConvention;
  j["bubble_fraction"] = r.bubble_fraction;
  j["exposed_communication_fraction"] = r.exposed_communication_fraction;
  j["breakdown"] = Json::array();
  for (const BreakdownRow& row : r.breakdown)
    j["breakdown"].push_back({{"name", row.name}, {"seconds", row.time.value}, {"fraction", row.fraction}});
  Json ranks = Json::array();
  for (const RankMemory& m : r.memory) {
    Json parts = Json::object();
    for (const MemoryPart& part : PartsOf(m.memory)) parts[part.name] = part.bytes.value;
    ranks.push_back(
        {{"rank", m.rank}, {"stage", m.stage}, {"peak_bytes", m.memory.total().value}, {"parts", parts}});
  }
  Bytes peak;
  for (const PhaseReport& p : r.phases) peak = std::max(peak, p.peak_memory);
  j["memory"] = {{"fits", r.fits},
                 {"peak_bytes", peak.value},
                 {"device_bytes", r.device_memory.value},
                 {"over_bytes", std::max(0.0, (peak - r.device_memory).value)},
                 {"ranks", ranks}};
  j["traffic"] = {{"nvlink_bytes_per_gpu", r.nvlink_per_gpu.value},
                  {"ib_bytes_per_gpu", r.network_per_gpu.value}};
  j["busiest_links"] = Json::array();
  for (const BusyLink& l : r.busiest_links)
    j["busiest_links"].push_back(
        {{"name", l.name}, {"bytes", l.bytes.value}, {"utilisation", l.utilisation}});
  j["contention_s"] = 0.0;  // links are not shared in time at the analytic level
  j["imbalance_s"] = r.imbalance.value;
  j["critical_path"] = Json::array();
  for (const PathCause& p : r.critical_path)
    j["critical_path"].push_back({{"cause", p.cause}, {"seconds", p.time.value}});
  j["marginal"] = Json::array();
  for (const Marginal& m : r.marginal)
    j["marginal"].push_back({{"resource", m.resource}, {"step_change_percent", m.step_change_percent}});
  j["uncertainty"] = Json::array();
  for (const UncertaintyShare& u : r.uncertainty)
    j["uncertainty"].push_back({{"source", u.source}, {"share", u.share}});
  j["intervals"] = {{"step_time_s", IntervalJson(r.step_time_interval)},
                    {"gpu_hours_per_trillion_tokens", IntervalJson(r.gpu_hours_per_trillion_tokens)}};
  j["intervals"].update(ExpenseIntervalJson(r, r.total_interval));
  j["phases"] = PhasesJson(r);
  j["extrapolated_fraction"] = r.extrapolated_fraction;
  return j;
}

std::string TrainText(const TrainReport& r, const std::optional<PublishedCost>& published) {
  const std::string phase = r.phases.size() > 1 ? " (details: phase " + r.phases[r.phase].name + ")" : "";
  std::string out = Printf("%s: %s on %lld GPUs of %s, schedule %s, %d micro-batches%s\n\n", r.name.c_str(),
                           r.model.c_str(), static_cast<long long>(r.gpus), r.cluster.c_str(),
                           r.schedule.c_str(), r.micro_batches, phase.c_str());
  const Interval& hours = r.gpu_hours_per_trillion_tokens;
  Rows head = {
      {"step time",
       Printf("%.2f s for %s tokens", r.step_time.value, ShowCount(r.tokens_per_step, 3).c_str())},
      {"GPU-hours per trillion tokens", IntervalText(hours, 1e3, " K")},
  };
  if (published)
    head.push_back({"  published",
                    Printf("%.1f K  (predicted %+.1f%%)  %s", published->gpu_hours_per_trillion_tokens / 1e3,
                           100 * (hours.p50 / published->gpu_hours_per_trillion_tokens - 1),
                           published->source.c_str())});
  head.push_back({"throughput", Printf("%.0f tokens/s per GPU, %.0f model TFLOP/s per GPU, MFU %.1f%%",
                                       r.tokens_per_gpu_per_s, r.model_tflops_per_gpu, 100 * r.mfu)});
  head.push_back({"whole run", Printf("%s GPU-hours, %.1f days, %s USD  (80%% interval %s .. %s)",
                                      ShowCount(r.total.gpu_hours, 4).c_str(), r.total.days,
                                      ShowCount(r.total.cost_usd, 3).c_str(),
                                      ShowCount(r.total_interval.cost_usd.p10, 3).c_str(),
                                      ShowCount(r.total_interval.cost_usd.p90, 3).c_str())});
  if (r.has_outages)
    head.push_back({"  with failures", Printf("%.1f days, %s USD", r.total.wall_days,
                                              ShowCount(r.total.wall_cost_usd, 3).c_str())});
  head.push_back({"layers by stage", Runs(r.stage_layers)});
  out += Aligned(head, "ll");

  out += "\nwhere the step goes (mean over stages)\n";
  Rows times;
  for (const BreakdownRow& row : r.breakdown)
    times.push_back(
        {row.name, ShowSeconds(row.time), Printf("%.1f%%", 100 * row.fraction), Bar(row.fraction)});
  out += Aligned(times, "lrrl");
  if (r.imbalance.value > 0) out += "  of it, unequal expert loads add " + ShowSeconds(r.imbalance) + "\n";

  const RankMemory& full = r.memory[r.fullest];
  const Bytes peak = full.memory.total();
  out += Printf(
      "\nmemory of the fullest rank (rank %d, stage %d): %s of %s%s\n", full.rank, full.stage,
      ShowBytes(peak).c_str(), ShowBytes(r.device_memory).c_str(),
      peak <= r.device_memory ? "" : (", DOES NOT FIT by " + ShowBytes(peak - r.device_memory)).c_str());
  Rows memory;
  for (const MemoryPart& part : PartsOf(full.memory))
    memory.push_back({part.name, ShowBytes(part.bytes), Printf("%.1f%%", 100 * (part.bytes / peak)),
                      Bar(part.bytes / peak)});
  out += Aligned(memory, "lrrl");

  out += Printf("\ntraffic of a GPU and step: %s by NVLink, %s by InfiniBand",
                ShowBytes(r.nvlink_per_gpu).c_str(), ShowBytes(r.network_per_gpu).c_str());
  if (!r.busiest_links.empty())
    out += Printf("; busiest link %s, %.1f%% of the step", r.busiest_links[0].name.c_str(),
                  100 * r.busiest_links[0].utilisation);
  out += "\n";

  out += "\nwith a resource 10% faster the step takes";
  for (size_t i = 0; i < r.marginal.size(); ++i)
    out += Printf("%s %+.1f%% (%s)", i == 0 ? "" : ",", r.marginal[i].step_change_percent,
                  r.marginal[i].resource.c_str());
  out += "\n";

  if (!r.uncertainty.empty()) {
    out += "\nwhat the interval comes from\n";
    Rows shares;
    constexpr size_t kShown = 6;
    for (size_t i = 0; i < std::min(kShown, r.uncertainty.size()); ++i)
      if (r.uncertainty[i].share > 0.005)
        shares.push_back(
            {Printf("%.0f%%", 100 * r.uncertainty[i].share), ShortSource(r.uncertainty[i].source)});
    out += Aligned(shares, "rl");
  }
  out += Printf(
      "\n%.0f%% of the time is from outside measured ranges or from reasoned efficiencies (--print costs)\n",
      100 * r.extrapolated_fraction);
  out += PhasesText(r);
  return out;
}

}  // namespace moecast
