#include "scenarios/serving_scenario.h"

#include "base/file.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"
#include "scenarios/named_text.h"
#include "scenarios/traffic_loader.h"

namespace moecast {

const Fields<LoadSpec>& FieldsOf(const LoadSpec*) {
  static const Fields<LoadSpec> fields(
      "load",
      {
          Row("traffic", &LoadSpec::traffic,
              "built-in traffic, or the path of a description or of a trace (docs/traffic.md)"),
          Row("description", &LoadSpec::description,
              "in its place a description of the requests, as of docs/traffic-fields.md"),
          Row("requests", &LoadSpec::requests, "of them the first so many; absent: all",
              {.low = 1, .high = 1e8}),
          Row("speedup", &LoadSpec::speedup, "they arrive so many times as fast",
              {.low = 1e-6, .high = 1e6}),
          Row("concurrency", &LoadSpec::concurrency,
              "closed loop: at most so many requests in flight, the next is sent when one has "
              "ended; absent: as the traffic says",
              {.low = 1, .high = 1e7}),
      });
  return fields;
}

const Fields<EnginePreset>& FieldsOf(const EnginePreset*) {
  static const Fields<EnginePreset> fields(
      "engine preset",
      {
          RequiredRow("source", &EnginePreset::source, "where the values come from"),
          RequiredRow("engine", &EnginePreset::engine, "what a scenario's engine has by default"),
      });
  return fields;
}

const Fields<ServingSpec>& FieldsOf(const ServingSpec*) {
  static const Fields<ServingSpec> fields(
      "serving scenario",
      {
          RequiredRow("model", &ServingSpec::model,
                      "a built-in model or the path of a Hugging Face config.json"),
          RequiredRow("cluster", &ServingSpec::cluster,
                      "a built-in cluster or the path of a cluster file"),
          Row("stack", &ServingSpec::stack,
              "whose kernels: 2024h1 (the time of DeepSeek-V2) or 2025"),
          Row("calibration", &ServingSpec::calibration,
              "folder of a calibration made by `moecast calibrate import`; empty: the built-in "
              "one"),
          Row("source", &ServingSpec::source,
              "where the scenario's values come from; shown in the report"),
          RequiredRow("serving", &ServingSpec::serving, "the deployment"),
          RequiredRow("load", &ServingSpec::load, "the requests"),
          Row("price", &ServingSpec::price, "what GPUs cost"),
      });
  return fields;
}

namespace {

// Gives the engine of a deployment what its preset says and the document does not.
void ApplyPreset(const std::shared_ptr<JsonDocument>& document,
                 std::initializer_list<const char*> deployment) {
  JsonCursor engine(document);
  const auto has = [&](const char* key) { return engine.json().is_object() && engine.Has(key); };
  for (const char* key : deployment) {
    if (!has(key)) return;
    engine = engine.Key(key);
  }
  if (!has("engine")) return;
  engine = engine.Key("engine");
  if (!has("preset")) return;
  const std::string word = engine.Key("preset").Text();
  const NamedText named =
      Resolve(engine, "preset", [&] { return ReadNamed("engines", "preset", word); });
  const auto preset = ParseJson(named.text, named.file);
  const JsonCursor root(preset);
  if (!Codec<EnginePreset>::Table().Parse(root).engine.preset.empty())
    root.Key("engine").Key("preset").Fail("no preset of its own");
  std::vector<std::string> missing;
  for (const std::string& field : root.Key("engine").Keys())
    if (!engine.Has(field)) missing.push_back(field);
  for (const std::string& field : missing) {
    const Json& value = root.Key("engine").Key(field).json();
    PatchJson(*document, MemberPointer(engine.pointer(), field), value,
              {.origin = "preset " + named.name, .text = DumpJson(value)});
  }
}

RequestTrace RequestsOf(const LoadSpec& load, const JsonCursor& at, uint64_t seed) {
  if (load.description.has_value() == !load.traffic.empty())
    at.Fail("either traffic or a description");
  if (!load.description)
    return Resolve(at, "traffic", [&] { return LoadTraffic(load.traffic, seed); });
  const JsonCursor description = at.Key("description");
  if (const auto fault = CheckTraffic(*load.description))
    description.FailBelow(fault->pointer, fault->expected);
  return DrawTraffic(*load.description, seed);
}

// Hashes are of whole blocks of the cache.
void CheckBlockSizes(const ServingRun& run, const JsonCursor& serving) {
  const auto check = [&](const EngineSpec& engine, const std::string& pool) {
    if (engine.enable_prefix_caching && run.load.block_tokens % engine.block_size != 0)
      serving.FailBelow(pool + "/engine/block_size",
                        "a divisor of " + std::to_string(run.load.block_tokens) +
                            ", the tokens that a hash of the load stands for, or "
                            "enable_prefix_caching false");
  };
  check(run.deployment.engine, "");
  if (run.deployment.prefill) check(run.deployment.prefill->engine, "/prefill");
}

}  // namespace

ServingScenario ServingScenario::Load(const std::string& name_or_path,
                                      std::span<const std::string> sets, uint64_t seed) {
  const NamedText named = ReadNamed("serving", "serving scenario", name_or_path);
  auto document = ParseJson(named.text, named.file);
  ApplySets(*document, {"--set", sets});
  const JsonCursor root(document);
  ApplyPreset(document, {"serving"});
  ApplyPreset(document, {"serving", "prefill"});
  ServingScenario s;
  s.spec = Codec<ServingSpec>::Table().Parse(root);
  ServingRun& run = s.run;
  run.name = named.name;
  run.source = s.spec.source;
  run.model = Resolve(root, "model", [&] { return LoadModel(s.spec.model); });
  run.cluster = Resolve(root, "cluster", [&] { return LoadCluster(s.spec.cluster); });
  run.calibration = std::make_shared<const Calibration>(Resolve(root, "stack", [&] {
    return LoadCalibration(run.cluster.device, s.spec.stack, s.spec.calibration);
  }));
  run.deployment = s.spec.serving;
  if (const auto fault = CheckDeployment(run.deployment, run.model, run.cluster))
    root.Key("serving").FailBelow(fault->pointer, fault->expected, fault->hint);
  if (const std::optional<std::string>& file = run.deployment.routing.recorded)
    run.record = std::make_shared<const RoutingRecord>(
        ParseRoutingRecord(ReadFile(*file), *file, run.model.moe.experts));
  run.load = RequestsOf(s.spec.load, root.Key("load"), seed);
  run.load = SpedUp(std::move(run.load), s.spec.load.speedup);
  if (s.spec.load.requests) run.load = Sliced(run.load, {.limit = *s.spec.load.requests});
  if (s.spec.load.concurrency) run.load.concurrency = s.spec.load.concurrency;
  CheckBlockSizes(run, root.Key("serving"));
  run.usd_per_gpu_hour = s.spec.price.usd_per_gpu_hour;
  return s;
}

}  // namespace moecast
