#include "viz/phases_view.h"

#include <cmath>

#include "base/quantity_text.h"
#include "viz/headline_view.h"
#include "viz/table.h"

namespace moecast {
namespace {

std::string Range(const Interval& i) {
  return ShowCount(i.p10, 3) + " .. " + ShowCount(i.p90, 3);
}

std::string Days(const Interval& i) {
  return Printf("%.2f .. %.2f", i.p10, i.p90);
}

// gpu_hours, days and cost_usd; with failures wall_days and wall_cost_usd too.
Json ExpenseIntervalJson(const TrainReport& r, const ExpenseInterval& i) {
  Json j = {{"gpu_hours", IntervalJson(i.gpu_hours)},
            {"days", IntervalJson(i.days)},
            {"cost_usd", IntervalJson(i.cost_usd)}};
  if (r.has_outages) {
    j["wall_days"] = IntervalJson(i.wall_days);
    j["wall_cost_usd"] = IntervalJson(i.wall_cost_usd);
  }
  return j;
}

}  // namespace

Json PhasesJson(const TrainReport& r) {
  Json phases = Json::array();
  for (const PhaseReport& p : r.phases) {
    Json j = {{"name", p.name},
              {"gpus", p.gpus},
              {"steps", p.steps},
              {"tokens", p.tokens.value},
              {"step_time_s", p.step_time.value},
              {"gpu_hours", p.expense.gpu_hours},
              {"days", p.expense.days},
              {"cost_usd", p.expense.cost_usd}};
    if (p.outages) {
      j["wall_days"] = p.expense.wall_days;
      j["wall_cost_usd"] = p.expense.wall_cost_usd;
      j["availability"] = 1 / p.outages->wall_per_work;
      j["mtbf_s"] = p.outages->outages.mtbf.value;
      j["checkpoint_interval_s"] = p.outages->checkpoint_interval.value;
      j["best_checkpoint_interval_s"] = p.outages->best_interval.value;
      j["checkpoint_write_s"] = p.outages->outages.checkpoint_write.value;
    }
    j["memory"] = {{"fits", p.memory.fits}, {"peak_bytes", p.memory.peak.value}};
    j["intervals"] = ExpenseIntervalJson(r, p.interval);
    phases.push_back(std::move(j));
  }
  return phases;
}

std::string PhasesText(const TrainReport& r) {
  std::string out;
  if (r.phases.size() > 1) {
    Rows rows = {{"phase", "GPUs", "steps", "tokens", "step", "memory", "GPU-hours", "p10 .. p90",
                  "days", "USD", "p10 .. p90"}};
    for (const PhaseReport& p : r.phases)
      rows.push_back({p.name, Thousands(p.gpus), Thousands(std::llround(p.steps)),
                      ShowCount(p.tokens.value, 4), ShowSeconds(p.step_time),
                      ShowBytes(p.memory.peak) + (p.memory.fits ? "" : ", DOES NOT FIT"),
                      ShowCount(p.expense.gpu_hours, 4), Range(p.interval.gpu_hours),
                      Printf("%.2f", p.expense.days), ShowCount(p.expense.cost_usd, 3),
                      Range(p.interval.cost_usd)});
    rows.push_back({"all", "", "", "", "", "", ShowCount(r.headlines.gpu_hours_total, 4),
                    Range(r.interval(&Headlines::gpu_hours_total)),
                    Printf("%.2f", r.headlines.days), ShowCount(r.headlines.cost_usd, 3),
                    Range(r.interval(&Headlines::cost_usd))});
    out += "\nphases (GPU-hours, days and price of the compute alone)\n" + Aligned(rows, "l");
  }
  if (!r.has_outages) return out;
  Rows rows = {{"phase", "MTBF", "checkpoint", "every", "best", "available", "wall days",
                "p10 .. p90", "USD"}};
  for (const PhaseReport& p : r.phases)
    if (p.outages)
      rows.push_back(
          {p.name, Printf("%.1f h", p.outages->outages.mtbf.value / 3600),
           ShowSeconds(p.outages->outages.checkpoint_write),
           ShowSeconds(p.outages->checkpoint_interval), ShowSeconds(p.outages->best_interval),
           Printf("%.2f%%", 100 / p.outages->wall_per_work), Printf("%.2f", p.expense.wall_days),
           Days(p.interval.wall_days), ShowCount(p.expense.wall_cost_usd, 3)});
  if (r.phases.size() > 1)
    rows.push_back({"all", "", "", "", "", Printf("%.2f%%", 100 * r.headlines.availability),
                    Printf("%.2f", r.headlines.wall_days), Days(r.interval(&Headlines::wall_days)),
                    ShowCount(r.headlines.wall_cost_usd, 3)});
  return out +
         "\nwith failures, checkpoints and restarts (intervals: each draw on its own number of "
         "GPUs)\n" +
         Aligned(rows, "l");
}

}  // namespace moecast
