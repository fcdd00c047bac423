// moecast train SCENARIO: predicts a training run.
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/named.h"
#include "cli/predict.h"
#include "cli/simgrid_program.h"
#include "scenarios/claims/claims.h"
#include "sim/forecast/neighbours.h"
#include "sim/forecast/sensitivity.h"
#include "sim/training/peak_memory.h"
#include "sim/training/step_links.h"
#include "sim/training/timeline.h"
#include "traces/chrome_trace.h"
#include "viz/memory_view.h"
#include "viz/replica_view.h"
#include "viz/sensitivity_view.h"
#include "viz/train_view.h"

namespace moecast {
namespace {

std::optional<PublishedCost> PublishedFor(const std::string& scenario) {
  for (const Claim& c : LoadClaims("training"))
    if (c.scenario == scenario && c.baseline.empty() &&
        c.quantity == "gpu_hours_per_trillion_tokens")
      return PublishedCost{c.published, c.source};
  return std::nullopt;
}

// One replica of the step, on fluid and on SimGrid.
ReplicaTimes OnReplica(const PreparedPhase& phase) {
  const TrainingRun& run = phase.run();
  if (NumberOfLinks(run.cluster) != run.cluster.ports())
    throw UserError(
        {.file = "--level",
         .value = "simgrid",
         .expected = "analytic or fluid on the cluster " + run.cluster.name +
                     ": a replica alone says nothing of the switches it shares with others"});
  const auto network = [](Level of) {
    return [of](std::span<const BytesPerSecond> capacity) {
      return MakeNetwork(of, capacity, StartHelper(of));
    };
  };
  return CompareOnReplica(phase.step(), network(Level::kFluid), network(Level::kSimgrid));
}

}  // namespace

Action DefineTrain(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario;
    std::string level = "fluid";
    std::string timeline;
    std::string timeline_detail{NameOf(TimelineDetail::kFirstMicroBatch)};
    std::vector<std::string> sets, print;
    bool why_memory = false;
    int64_t samples = ForecastOptions{}.samples;
    bool sensitivity = false;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in training scenario or the path of a file",
           {.required = true});
  list.Add("--set", o->sets, "overrides a field: training/parallel/dp=64; may be repeated",
           {.repeated = true});
  list.Add("--level", o->level, "network level: analytic, fluid or simgrid",
           {.show_default = true});
  list.Add("--samples", o->samples, "draws behind the interval", {.show_default = true});
  list.Add("--timeline", o->timeline, "write the step as a trace file for ui.perfetto.dev");
  list.Add("--timeline-detail", o->timeline_detail,
           "whose blocks and ops it shows: tasks (none's), first-micro-batch or all",
           {.show_default = true});
  list.Add("--print", o->print, "also show: layout, ops, costs, blocks, schedule",
           {.repeated = true, .delimiter = ','});
  list.AddFlag("--sensitivity", o->sensitivity,
               "also show what a tenth more of each quantity changes");
  list.AddFlag("--why-memory", o->why_memory,
               "also list what is alive at the peak of the fullest rank");
  return [o, &common] {
    const Level level = Named<Level>("--level", o->level);
    const int samples = CheckedSamples(o->samples);
    std::vector<StepPart> parts;
    for (const std::string& name : o->print) parts.push_back(Named<StepPart>("--print", name));
    const auto detail = Named<TimelineDetail>("--timeline-detail", o->timeline_detail);
    Prediction p = PredictTraining(Scenario::Load(o->scenario, o->sets),
                                   {.samples = samples, .seed = common.seed},
                                   level == Level::kSimgrid ? Level::kFluid : level);
    for (Marginal& m : PlanMarginals(p.run->phase(p.run->detailed()), p.cache))
      p.report.marginal.push_back(std::move(m));
    // A scenario changed on the command line is no longer what was published.
    const auto published = o->sets.empty() ? PublishedFor(o->scenario) : std::nullopt;
    Json json = TrainJson(p.report, published);
    std::string text = TrainText(p.report, published);
    const Step& step = p.run->step(p.run->detailed());
    if (level == Level::kSimgrid) {
      const ReplicaTimes replica = OnReplica(p.run->phase(p.run->detailed()));
      json["simgrid"] = ReplicaJson(replica);
      text += ReplicaText(replica);
    }
    if (o->why_memory) {
      const PeakMemory peak = PeakMemoryOf(step, p.report.memory[p.report.fullest].stage);
      json["why_memory"] = PeakMemoryJson(peak);
      text += PeakMemoryText(peak);
    }
    for (const StepPart part : parts) {
      json[std::string(NameOf(part))] = StepPartJson(step, part);
      text += StepPartText(step, part);
    }
    if (o->sensitivity) {
      StepCache cache;
      const std::vector<Sensitivity> rows = Sensitivities(*p.run, cache);
      json["sensitivity"] = SensitivityJson(rows);
      text += SensitivityText(rows, p.report.headlines.gpu_hours_per_trillion_tokens);
    }
    if (!o->timeline.empty()) WriteFile(o->timeline, WriteChromeTrace(TimelineOf(step, detail)));
    Emit(common, json, text);
  };
}

}  // namespace moecast
