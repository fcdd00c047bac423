#include "scenarios/scenario.h"

#include <algorithm>

#include "base/check.h"
#include "base/file.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"
#include "scenarios/named_text.h"
#include "scenarios/overrides.h"
#include "sim/training/plan_check.h"
#include "traces/routing_record.h"

namespace moecast {
namespace {

// The plan of one phase: the training section with the phase's own fields merged onto it. A fault
// in it is the phase's, where the phase changes the plan.
Plan PlanOfPhase(const Plan& training, size_t index, const JsonCursor& section,
                 const TrainingRun& run) {
  constexpr std::string_view kItself = "/phases/0";
  const JsonCursor phase = section.Key("phases").At(index);
  Plan plan = training;
  plan.phases = {training.phases[index]};
  const bool changes = plan.phases[0].plan.has_value();
  if (changes) Codec<Plan>::Table().PatchInto(phase.Key("plan"), plan);
  if (const auto fault = CheckPlan(plan, run.model, run.cluster)) {
    if (fault->pointer.starts_with(kItself))
      phase.FailBelow(fault->pointer.substr(kItself.size()), fault->expected, fault->hint);
    (changes ? phase.Key("plan") : section).FailBelow(fault->pointer, fault->expected, fault->hint);
  }
  return plan;
}

// What was routed as the plan's file says, or as the known programme has read it.
std::shared_ptr<const RoutingRecord> RecordOf(const TrainingRun& run, const Programme* known) {
  const std::optional<std::string>& file = run.plan.routing.recorded;
  if (!file) return nullptr;
  if (known)
    for (const TrainingRun& other : known->phases)
      if (other.plan.routing.recorded == file && other.model == run.model) return other.record;
  return std::make_shared<const RoutingRecord>(
      ParseRoutingRecord(ReadFile(*file), *file, run.model.moe.experts));
}

Programme Compose(const std::string& name, const ScenarioSpec& spec, const JsonCursor& root,
                  const Programme* known_programme, const ScenarioSpec* known_spec) {
  const TrainingRun* known = known_programme ? &known_programme->phases.front() : nullptr;
  TrainingRun run;
  run.name = name;
  const bool same_cluster = known && known_spec->cluster == spec.cluster;
  run.model = known && known_spec->model == spec.model
                  ? known->model
                  : Resolve(root, "model", [&] { return LoadModel(spec.model); });
  run.cluster = same_cluster ? known->cluster
                             : Resolve(root, "cluster", [&] { return LoadCluster(spec.cluster); });
  if (same_cluster && known_spec->stack == spec.stack &&
      known_spec->calibration == spec.calibration)
    run.calibration = known->calibration;
  else
    run.calibration = std::make_shared<const Calibration>(Resolve(root, "stack", [&] {
      return LoadCalibration(run.cluster.device, spec.stack, spec.calibration);
    }));
  run.whole_step = WholeStepOf(spec.whole_step, run.calibration->whole_step());

  Programme programme{.name = name,
                      .usd_per_gpu_hour = spec.price.usd_per_gpu_hour,
                      .reliability = spec.reliability};
  const JsonCursor section = root.Key("training");
  if (spec.training.phases.empty()) section.Key("phases").Fail("at least one phase");
  for (size_t i = 0; i < spec.training.phases.size(); ++i) {
    run.plan = PlanOfPhase(spec.training, i, section, run);
    run.record = RecordOf(run, known_programme);
    programme.phases.push_back(run);
    if (!spec.reliability) continue;
    if (const auto fault = CheckReliability(*spec.reliability, run.model, run.plan, run.cluster))
      root.Key("reliability").FailBelow(fault->pointer, fault->expected, fault->hint);
  }
  return programme;
}

}  // namespace

const Fields<Price>& FieldsOf(const Price*) {
  static const Fields<Price> fields(
      "price", {Row("usd_per_gpu_hour", &Price::usd_per_gpu_hour,
                    "rent of one GPU for an hour, US dollars", {.low = 0, .high = 1e4})});
  return fields;
}

Unknowns Codec<Unknowns>::Parse(const JsonCursor& at, const Limits&) {
  Unknowns out;
  constexpr size_t kMostUnknowns = 16, kMostValues = 32;
  for (const std::string& pointer : at.Keys()) {
    const JsonCursor values = at.Key(pointer);
    if (!pointer.starts_with("/") || pointer.starts_with("/unknown"))
      values.Fail(
          "the JSON pointer of a field of the scenario for its name, such as "
          "/training/parallel/dp");
    Unknown unknown{pointer, {}};
    for (size_t i = 0; i < values.size(); ++i) unknown.values.push_back(values.At(i).json());
    if (unknown.values.empty() || unknown.values.size() > kMostValues)
      values.Fail("a list of 1 to " + std::to_string(kMostValues) + " values");
    out.list.push_back(std::move(unknown));
  }
  if (out.list.size() > kMostUnknowns)
    at.Fail("at most " + std::to_string(kMostUnknowns) + " unknowns");
  return out;
}
Json Codec<Unknowns>::Print(const Unknowns& v) {
  Json object = Json::object();
  for (const Unknown& u : v.list) object[u.pointer] = u.values;
  return object;
}
Json Codec<Unknowns>::Schema(const Limits&) {
  return {{"type", "object"}, {"additionalProperties", {{"type", "array"}, {"minItems", 1}}}};
}
std::string Codec<Unknowns>::Type(const Limits&) {
  return "object: JSON pointer of a field -> list of values";
}

const Fields<ScenarioSpec>& FieldsOf(const ScenarioSpec*) {
  static const Fields<ScenarioSpec> fields(
      "scenario", {
                      RequiredRow("model", &ScenarioSpec::model,
                                  "a built-in model or the path of a Hugging Face config.json"),
                      RequiredRow("cluster", &ScenarioSpec::cluster,
                                  "a built-in cluster or the path of a cluster file"),
                      Row("stack", &ScenarioSpec::stack,
                          "whose kernels: 2024h1 (the time of DeepSeek-V2) or 2025"),
                      Row("calibration", &ScenarioSpec::calibration,
                          "folder of a calibration made by `moecast calibrate import`; empty: the "
                          "built-in one"),
                      Row("source", &ScenarioSpec::source,
                          "where the scenario's values come from; shown in the report"),
                      RequiredRow("training", &ScenarioSpec::training, "the training run"),
                      Row("whole_step", &ScenarioSpec::whole_step,
                          "what a step of a long run takes beyond its kernels in a burst"),
                      Row("price", &ScenarioSpec::price, "what GPUs cost"),
                      Row("reliability", &ScenarioSpec::reliability,
                          "failures and checkpoints, which turn compute time into wall time; "
                          "absent: nothing fails"),
                      Row("unknown", &ScenarioSpec::unknown,
                          "fields whose value the source does not say, each with the values it may "
                          "have; their spread is part of the predicted interval"),
                  });
  return fields;
}

Scenario Scenario::Load(const std::string& name_or_path, std::span<const std::string> sets,
                        const Overrides& then) {
  const NamedText named = ReadNamed("training", "scenario", name_or_path);
  return FromText(named.text, named.file, named.name, sets, then);
}

Scenario Scenario::FromText(std::string_view text, const std::string& file, const std::string& name,
                            std::span<const std::string> sets, const Overrides& then) {
  auto document = ParseJson(text, file);
  ApplySets(*document, {"--set", sets});
  ApplySets(*document, then);
  Scenario s;
  s.name_ = name;
  s.document_ = document;
  const JsonCursor root(document);
  s.spec_ = Codec<ScenarioSpec>::Table().Parse(root);
  s.training_ = std::make_shared<const Programme>(Compose(name, s.spec_, root, nullptr, nullptr));
  // Every value of every unknown must make a valid scenario, alone on top of the base.
  std::vector<int> none(s.spec_.unknown.list.size(), -1);
  for (size_t u = 0; u < none.size(); ++u) {
    for (size_t v = 0; v < s.spec_.unknown.list[u].values.size(); ++v) {
      none[u] = static_cast<int>(v);
      if (s.Variant(none).phases.size() != s.training_->phases.size())
        root.Key("unknown")
            .Key(s.spec_.unknown.list[u].pointer)
            .At(v)
            .Fail("as many phases as the scenario has");
    }
    none[u] = -1;
  }
  return s;
}

Programme Scenario::Variant(std::span<const int> choice) const {
  const std::vector<Unknown>& unknowns = spec_.unknown.list;
  MOECAST_CHECK(choice.size() == unknowns.size());
  auto document = std::make_shared<JsonDocument>(*document_);
  for (size_t u = 0; u < unknowns.size(); ++u) {
    if (choice[u] < 0) continue;  // as in the base
    const Json& value = unknowns[u].values.at(static_cast<size_t>(choice[u]));
    PatchJson(*document, unknowns[u].pointer, value,
              {document_->file + ": unknown " + unknowns[u].pointer, value.dump()});
  }
  const JsonCursor root(document);
  const ScenarioSpec spec = Codec<ScenarioSpec>::Table().Parse(root);
  return Compose(name_, spec, root, training_.get(), &spec_);
}

}  // namespace moecast
