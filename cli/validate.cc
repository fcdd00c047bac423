// moecast validate [training, schedules, memory]: every claim the project knows of, published beside
// predicted.
#include <map>
#include <memory>

#include "base/error.h"
#include "cli/command.h"
#include "cli/predict.h"
#include "scenarios/claims.h"
#include "scenarios/memory_claims.h"
#include "scenarios/pipeline_claims.h"
#include "sim/pipeline/pipeline.h"
#include "viz/claims_view.h"

namespace moecast {
namespace {

std::vector<ClaimResult> ValidateTraining(const CommonOptions& common) {
  std::map<std::string, std::vector<double>> samples;  // GPU-hours per trillion tokens, by scenario
  const auto samples_of = [&](const std::string& scenario) -> const std::vector<double>& {
    std::vector<double>& s = samples[scenario];
    if (s.empty()) s = PredictTraining(Scenario::Load(scenario, {}), {.seed = common.seed}).samples;
    return s;
  };
  std::vector<ClaimResult> results;
  for (const Claim& c : LoadClaims("training")) {
    ClaimResult r{.name = c.name,
                  .quantity = c.quantity,
                  .relation = c.relation,
                  .source = c.source,
                  .published = c.published,
                  .used_for_fitting = c.used_for_fitting};
    std::vector<double> predicted = samples_of(c.scenario);
    if (!c.baseline.empty()) {
      // Sample by sample: what both scenarios share errs alike.
      const std::vector<double>& baseline = samples_of(c.baseline);
      for (size_t i = 0; i < predicted.size(); ++i) predicted[i] = 100 * (1 - predicted[i] / baseline[i]);
    }
    r.predicted = IntervalOf(std::move(predicted));
    results.push_back(std::move(r));
  }
  return results;
}

std::vector<ClaimResult> ValidateSchedules(const CommonOptions&) {
  std::vector<ClaimResult> results;
  for (const PipelineClaim& c : LoadPipelineClaims()) {
    const PipelineSchedule& schedule = *FindPipelineSchedule(c.schedule);
    const Schedule lowered = LowerPipeline(schedule, c.shape, schedule.build(c.shape));
    Timing timing;
    const Time transfer[] = {c.shape.transfer};
    Retimer(lowered).Run(PipelineDurations(schedule, c.shape), transfer, timing);
    const double rate = Summarize(c.shape, lowered, timing).bubble_rate;
    results.push_back({.name = c.name,
                       .quantity = "bubble_rate",
                       .relation = "=",
                       .source = c.source,
                       .published = c.bubble_rate,
                       .predicted = {rate, rate, rate}});
  }
  return results;
}

std::vector<ClaimResult> ValidateMemory(const CommonOptions&) {
  std::vector<ClaimResult> results;
  for (const MemoryClaim& c : LoadMemoryClaims()) {
    StepCache cache;
    const PreparedRun run(c.run, cache);
    const double peak = run.step(0).MemoryByStage()[c.stage].allocated() / GiB(1);
    results.push_back({.name = c.name,
                       .quantity = "peak_allocated_GiB",
                       .relation = "=",
                       .source = c.source,
                       .published = c.peak / GiB(1),
                       .predicted = {peak, peak, peak}});
  }
  return results;
}

struct Suite {
  std::string_view name;
  std::vector<ClaimResult> (*run)(const CommonOptions&);
};
constexpr Suite kSuites[] = {
    {"training", ValidateTraining}, {"schedules", ValidateSchedules}, {"memory", ValidateMemory}};

}  // namespace

Action DefineValidate(CLI::App& app, const CommonOptions& common) {
  const auto names = std::make_shared<std::vector<std::string>>();
  app.add_option("suite", *names, "training, schedules, memory; all where none is named");
  return [names, &common] {
    std::vector<std::string_view> valid;
    for (const Suite& s : kSuites) valid.push_back(s.name);
    for (const std::string& name : *names)
      if (std::find(valid.begin(), valid.end(), name) == valid.end())
        throw UserError({.file = "moecast validate",
                         .value = "\"" + Shortened(name) + "\"",
                         .expected = "any of " + Join(valid),
                         .hint = Nearest(name, valid)});
    std::vector<ClaimResult> results;
    for (const Suite& s : kSuites) {
      if (!names->empty() && std::find(names->begin(), names->end(), s.name) == names->end()) continue;
      for (ClaimResult& r : s.run(common)) results.push_back(std::move(r));
    }
    Emit(common, ClaimsJson(results), ClaimsText(results));
  };
}

}  // namespace moecast
