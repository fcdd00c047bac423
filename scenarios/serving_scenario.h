// A serving scenario: which model is served, on what, how, and under what load. Read, overridden
// and checked as training scenarios are.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/fields_fwd.h"
#include "scenarios/overrides.h"
#include "scenarios/scenario.h"
#include "sim/serving/serving_run.h"
#include "traces/traffic.h"

namespace moecast {

// The requests: traffic by name, a file of it, or a description; slowed down or sped up. One of the
// first two.
struct LoadSpec {
  std::string traffic;
  std::optional<TrafficSpec> description;
  std::optional<int64_t> requests;
  double speedup = 1;
  std::optional<int64_t> concurrency;
};
const Fields<LoadSpec>& FieldsOf(const LoadSpec*);

// What an engine is as it comes: a file that engine/preset names.
struct EnginePreset {
  std::string source;
  EngineSpec engine;
};
const Fields<EnginePreset>& FieldsOf(const EnginePreset*);

// A serving scenario file as it stands.
struct ServingSpec {
  std::string model;
  std::string cluster;
  std::string stack = "2025";
  std::string calibration;
  std::string source;
  Deployment serving;
  LoadSpec load;
  Price price;
};
const Fields<ServingSpec>& FieldsOf(const ServingSpec*);

struct ServingScenario {
  ServingSpec spec;
  ServingRun run;

  // `seed` is of what a generator draws. Throws UserError for anything wrong.
  static ServingScenario Load(const std::string& name_or_path, std::span<const std::string> sets,
                              uint64_t seed);
};

}  // namespace moecast
