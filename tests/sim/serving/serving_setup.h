// Serving runs for tests.
#pragma once

#include <cmath>
#include <memory>

#include "base/random.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/model_loader.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/serving_run.h"

namespace moecast {

// On the stack of 2025, no load yet.
inline ServingRun ServingRunOf(const char* model, const char* cluster,
                               const ServingParallel& parallel) {
  ServingRun run{.name = "test", .model = LoadModel(model), .cluster = LoadCluster(cluster)};
  run.calibration =
      std::make_shared<const Calibration>(LoadCalibration(run.cluster.device, "2025"));
  run.deployment.parallel = parallel;
  run.usd_per_gpu_hour = 2;
  return run;
}

// A cache of so many tokens.
inline void LeaveTokens(ServingRun& run, double tokens) {
  EngineSpec& engine = run.deployment.engine;
  engine.gpu_memory_utilization = 0.9;
  const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
  engine.gpu_memory_utilization =
      (memory.usable - memory.kv + memory.kv_per_token * tokens) / run.cluster.device.memory;
}

// Requests that arrive by chance, of lengths by chance; prompts that begin with one of four texts,
// or nobody knows how.
inline void AddUnlikeRequests(ServingRun& run, int count, double rate, uint64_t seed,
                              bool known = true) {
  constexpr int64_t kRun = 64;
  Random random(seed);
  double at = 0;
  run.load.block_tokens = known ? kRun : 0;
  for (int i = 0; i < count; ++i) {
    at += -std::log1p(-random.Uniform()) / rate;
    const int64_t input = 100 + static_cast<int64_t>(random.Below(1200));
    const auto runs = static_cast<uint32_t>(input / kRun);
    const auto first = static_cast<uint32_t>(run.load.hash_ids.size());
    const uint64_t text = random.Below(4);
    for (uint64_t r = 0; r < runs; ++r)
      run.load.hash_ids.push_back(r < 5 ? text * 100 + r : 1000 + first + r);
    run.load.requests.push_back({.arrival = Time::From(Seconds(at)),
                                 .input_tokens = input,
                                 .output_tokens = 2 + static_cast<int64_t>(random.Below(300)),
                                 .first_block = first,
                                 .blocks = runs});
  }
}

inline int64_t GapsAsked(const ServingRun& run) {
  int64_t gaps = 0;
  for (const Request& request : run.load.requests) gaps += request.output_tokens - 1;
  return gaps;
}

}  // namespace moecast
