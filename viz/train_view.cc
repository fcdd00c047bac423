#include "viz/train_view.h"

#include <cmath>

#include "base/quantity_text.h"
#include "viz/headline_view.h"
#include "viz/phases_view.h"
#include "viz/table.h"

namespace moecast {
namespace {

double ErrorPercent(const TrainReport& r, const PublishedCost& published) {
  return 100 * (r.interval(&Headlines::gpu_hours_per_trillion_tokens).p50 /
                    published.gpu_hours_per_trillion_tokens -
                1);
}

Json OrNull(const std::optional<double>& x) {
  return x ? Json(*x) : Json();
}

struct MemoryPart {
  const char* name;
  Bytes bytes;
};
std::vector<MemoryPart> PartsOf(const StageMemory& m) {
  return {{"weights", m.states.weights},
          {"gradients", m.states.gradients},
          {"optimizer", m.states.optimizer()},
          {"activations", m.activations},
          {"transient", m.transient},
          {"buffers", m.buffers()},
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

// A row for each headline: its figure and its percentiles over all draws.
std::string HeadlineText(const TrainReport& r, const std::optional<PublishedCost>& published) {
  Rows rows = {{"", "", "p10", "p50", "p90"}};
  for (const HeadlineName& h : ShownHeadlines(r)) {
    const HeadlineStyle& style = StyleOf(h.name);
    const Interval& i = r.interval(h.figure);
    rows.push_back({style.label, style.show(r.headlines.*h.figure), style.show(i.p10),
                    style.show(i.p50), style.show(i.p90)});
  }
  std::string text = Aligned(rows, "l");
  if (published)
    text += Printf("  published: %.1f K GPU-hours per trillion tokens (predicted %+.1f%%), %s\n",
                   published->gpu_hours_per_trillion_tokens / 1e3, ErrorPercent(r, *published),
                   published->source.c_str());
  return text +
         "  the step and its rates are of the scenario's own values; percentiles are over its "
         "unknowns and "
         "the errors of the costs\n";
}

// "attention 31%, gemm 20%, ...": those that round to a per cent or more.
std::string PathText(const TrainReport& r) {
  std::string text;
  for (const Cause& c : r.critical_path)
    if (const double percent = 100 * (c.time / r.step_time); percent >= 0.5)
      text += (text.empty() ? "" : ", ") + c.cause + Printf(" %.0f%%", percent);
  return text;
}

// What a tenth more of each resource buys: the rates in one sentence, then a line for each that
// changes the plan.
std::string MarginalText(const TrainReport& r) {
  std::string rates, plans;
  for (const Marginal& m : r.marginal) {
    if (m.choice.empty()) {
      rates += (rates.empty() ? " " : ", ") + Printf("%+.1f%%", *m.step_change_percent) + " (" +
               m.resource + ")";
      continue;
    }
    plans += "  " + m.resource + ": ";
    if (!m.step_change_percent)
      plans += "none; ";
    else if (*m.step_change_percent == *m.gpu_hours_change_percent)
      plans += Printf("%+.1f%%, ", *m.step_change_percent);
    else
      plans += Printf("%+.1f%%, GPU-hours %+.1f%%, ", *m.step_change_percent,
                      *m.gpu_hours_change_percent);
    plans += m.choice + "\n";
  }
  std::string text = "\nwith a resource 10% faster the step takes" + rates + "\n";
  if (!plans.empty()) text += "with 10% more of a resource, by another plan\n" + plans;
  return text;
}

}  // namespace

Json TrainJson(const TrainReport& r, const std::optional<PublishedCost>& published) {
  Json j = Json::object();
  j["scenario"] = r.name;
  j["model"] = r.model;
  j["cluster"] = r.cluster;
  j["source"] = r.source;
  j["level"] = NameOf(r.level);
  j["schedule"] = r.schedule;
  j["stage_layers"] = r.stage_layers;
  j["micro_batches"] = r.micro_batches;
  j["detailed_phase"] = r.phases[r.phase].name;
  // Of one figure the interval stands in its place.
  for (const HeadlineName& h : ShownHeadlines(r)) {
    const bool with_interval = h.figure == &Headlines::gpu_hours_per_trillion_tokens;
    j[h.name] = with_interval ? IntervalJson(r.interval(h.figure)) : Json(r.headlines.*h.figure);
  }
  j["tokens_per_step"] = r.tokens_per_step;
  j["gpus"] = r.gpus;
  if (published) {
    j["published"] = {{"gpu_hours_per_trillion_tokens", published->gpu_hours_per_trillion_tokens},
                      {"error_percent", ErrorPercent(r, *published)},
                      {"source", published->source}};
  }
  j["flops_convention"] = kFlopsConvention;
  j["bubble_fraction"] = r.bubble_fraction;
  j["exposed_communication_fraction"] = r.exposed_communication_fraction;
  j["breakdown"] = Json::array();
  for (const BreakdownRow& row : r.breakdown)
    j["breakdown"].push_back(
        {{"name", row.name}, {"seconds", row.time.value}, {"fraction", row.fraction}});
  Json ranks = Json::array();
  for (const RankMemory& m : r.memory) {
    Json parts = Json::object();
    for (const MemoryPart& part : PartsOf(m.memory)) parts[part.name] = part.bytes.value;
    ranks.push_back({{"rank", m.rank},
                     {"stage", m.stage},
                     {"peak_bytes", m.memory.total().value},
                     {"parts", parts}});
  }
  j["memory"] = {{"fits", r.fits},
                 {"peak_bytes", r.peak_memory.value},
                 {"device_bytes", r.device_memory.value},
                 {"fits_share", r.fits_share},
                 {"over_bytes", std::max(0.0, (r.peak_memory - r.device_memory).value)},
                 {"host_bytes_per_node", r.host_bytes_per_node.value},
                 {"host_memory_bytes", r.host_memory.value},
                 {"ranks", ranks}};
  j["traffic"] = {{"nvlink_bytes_per_gpu", r.nvlink_per_gpu.value},
                  {"ib_bytes_per_gpu", r.network_per_gpu.value}};
  j["busiest_links"] = Json::array();
  for (const BusyLink& l : r.busiest_links)
    j["busiest_links"].push_back(
        {{"name", l.name}, {"bytes", l.bytes.value}, {"utilisation", l.utilisation}});
  j["contention_s"] = r.contention.value;
  j["imbalance_s"] = r.imbalance.value;
  j["critical_path"] = Json::array();
  for (const Cause& p : r.critical_path)
    j["critical_path"].push_back({{"cause", p.cause}, {"seconds", p.time.value}});
  j["marginal"] = Json::array();
  for (const Marginal& m : r.marginal)
    j["marginal"].push_back({{"resource", m.resource},
                             {"step_change_percent", OrNull(m.step_change_percent)},
                             {"gpu_hours_change_percent", OrNull(m.gpu_hours_change_percent)},
                             {"choice", m.choice}});
  j["uncertainty"] = Json::array();
  for (const UncertaintyShare& u : r.uncertainty)
    j["uncertainty"].push_back({{"source", u.source}, {"share", u.share}});
  j["intervals"] = IntervalsJson(r);
  j["phases"] = PhasesJson(r);
  j["extrapolated_fraction"] = r.extrapolated_fraction;
  return j;
}

std::string TrainText(const TrainReport& r, const std::optional<PublishedCost>& published) {
  const std::string phase =
      r.phases.size() > 1 ? " (details: phase " + r.phases[r.phase].name + ")" : "";
  std::string out = Printf(
      "%s: %s on %lld GPUs of %s, schedule %s, %d micro-batches, %s tokens a step%s\n\n",
      r.name.c_str(), r.model.c_str(), static_cast<long long>(r.gpus), r.cluster.c_str(),
      r.schedule.c_str(), r.micro_batches, ShowCount(r.tokens_per_step, 3).c_str(), phase.c_str());
  out += HeadlineText(r, published);
  out += "  layers by stage: " + Runs(r.stage_layers) + "\n";

  out += "\nwhere the step goes (mean over stages)\n";
  Rows times;
  for (const BreakdownRow& row : r.breakdown)
    times.push_back(
        {row.name, ShowSeconds(row.time), Printf("%.1f%%", 100 * row.fraction), Bar(row.fraction)});
  out += Aligned(times, "lrrl");
  if (r.imbalance.value > 0)
    out += "  with even expert loads the step would be " + ShowSeconds(r.imbalance) + " shorter\n";
  if (r.contention.value > 0)
    out += "  with every collective alone on its links it would be " + ShowSeconds(r.contention) +
           " shorter\n";
  out += "critical path: " + PathText(r) + "\n";

  const RankMemory& full = r.memory[r.fullest];
  const Bytes peak = full.memory.total();
  out += Printf("\nmemory of the fullest rank (rank %d, stage %d): %s of %s%s\n", full.rank,
                full.stage, ShowBytes(peak).c_str(), ShowBytes(r.device_memory).c_str(),
                peak <= r.device_memory
                    ? ""
                    : (", DOES NOT FIT by " + ShowBytes(peak - r.device_memory)).c_str());
  Rows memory;
  for (const MemoryPart& part : PartsOf(full.memory))
    memory.push_back({part.name, ShowBytes(part.bytes), Printf("%.1f%%", 100 * (part.bytes / peak)),
                      Bar(part.bytes / peak)});
  out += Aligned(memory, "lrrl");
  if (r.memory_peak.p90 > r.memory_peak.p10)
    out += Printf("  over the unknowns%s %s .. %s; fits in %.0f%% of the draws\n",
                  r.phases.size() > 1 ? " and phases" : "",
                  ShowBytes(Bytes(r.memory_peak.p10)).c_str(),
                  ShowBytes(Bytes(r.memory_peak.p90)).c_str(), 100 * r.fits_share);
  if (r.host_bytes_per_node.value > 0)
    out += Printf(
        "  optimizer states in host memory: %s of %s on the fullest node%s\n",
        ShowBytes(r.host_bytes_per_node).c_str(), ShowBytes(r.host_memory).c_str(),
        r.host_bytes_per_node <= r.host_memory
            ? ""
            : (", DOES NOT FIT by " + ShowBytes(r.host_bytes_per_node - r.host_memory)).c_str());

  out += Printf("\ntraffic of a GPU and step: %s by NVLink, %s by InfiniBand",
                ShowBytes(r.nvlink_per_gpu).c_str(), ShowBytes(r.network_per_gpu).c_str());
  if (!r.busiest_links.empty())
    out += Printf("; busiest link %s, %.1f%% of the step", r.busiest_links[0].name.c_str(),
                  100 * r.busiest_links[0].utilisation);
  out += "\n";

  out += MarginalText(r);

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
      "\n%.0f%% of the time is from outside measured ranges or from reasoned efficiencies (--print "
      "costs)\n",
      100 * r.extrapolated_fraction);
  return out + PhasesText(r);
}

}  // namespace moecast
