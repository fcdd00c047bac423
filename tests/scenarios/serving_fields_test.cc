// Every field of a deployment does something: a value for each whose change must change what is
// served, and the scenario where it does.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "scenarios/serving_scenario.h"
#include "sim/serving/serving_report.h"
#include "tests/scenarios/recorded_counts.h"
#include "viz/serve_view.h"

namespace moecast {
namespace {

using Sets = std::vector<std::string>;

// The last is the change. Fields of the prefill pool are those of a deployment.
struct ServingField {
  const char* pointer;
  const char* scenario;
  Sets sets;
};

constexpr char kV2[] = "deepseek-v2-azure-conv-like", kApart[] = "deepseek-v2-disaggregated",
               kDense70B[] = "llama-3.1-70b-azure-conv-like",
               kPrefixes[] = "deepseek-v2-lite-mooncake-conversation-like";

// A change behind others.
Sets Changed(Sets sets, const Sets& others) {
  sets.insert(sets.begin(), others.begin(), others.end());
  return sets;
}

const std::vector<ServingField>& ServingFields() {
  const Sets fast = {"load/requests=300", "load/speedup=4"}, few = {"load/requests=100"},
             full = {"load/requests=200", "load/speedup=100", "serving/replicas=1",
                     "serving/engine/gpu_memory_utilization=0.48"},
             tokens = {"load/requests=100", "serving/routing/tokens/distribution=clusters",
                       "serving/routing/tokens/concentration=0.2"},
             scaled = {"load/requests=300",
                       "serving/autoscaling={\"target_requests\": 8, "
                       "\"startup\": \"20s\"}"},
             failed =
                 {"load/requests=300",
                  "serving/failures=[{\"replica\": 0, \"at\": \"20s\", \"recovery\": \"10s\"}]"},
             v3 = {"load/requests=60", "model=deepseek-v3", "cluster=h800-64",
                   "serving/parallel/dp=16", "serving/parallel/ep=16"},
             tiers = {"load/requests=300", "serving/replicas=1",
                      "serving/engine/gpu_memory_utilization=0.45",
                      "serving/engine/cache_tiers=[{\"capacity\": \"200GiB\"}]"};
  static const std::vector<ServingField> cases = {
      {"/serving/parallel/tp", kDense70B, Changed({"serving/parallel/tp=2"}, few)},
      {"/serving/parallel/dp", kV2,
       Changed({"serving/parallel={\"tp\": 2, \"dp\": 4, \"ep\": 4}"}, few)},
      {"/serving/parallel/ep", kV2,
       Changed({"serving/parallel={\"tp\": 2, \"dp\": 4, \"ep\": 4}", "serving/parallel/ep=8"},
               few)},
      {"/serving/parallel/pp", kDense70B,
       Changed({"serving/parallel/tp=2", "serving/parallel/pp=2"}, few)},
      {"/serving/replicas", kDense70B, Changed({"serving/replicas=1"}, few)},
      {"/serving/prefill/replicas", kApart, Changed({"serving/prefill/replicas=1"}, fast)},
      {"/serving/router", kDense70B, Changed({"serving/router=least-loaded"}, few)},
      {"/serving/failures/0/replica", kDense70B, Changed({"serving/failures/0/replica=1"}, failed)},
      {"/serving/failures/0/pool", kApart,
       Changed({"load/speedup=100",
                "serving/failures=[{\"replica\": 0, \"at\": \"3s\", \"recovery\": "
                "\"10s\"}]",
                "serving/failures/0/pool=prefill"},
               {"load/requests=300"})},
      {"/serving/failures/0/at", kDense70B, Changed({"serving/failures/0/at=30s"}, failed)},
      {"/serving/failures/0/recovery", kDense70B,
       Changed({"serving/failures/0/recovery=40s"}, failed)},
      {"/serving/autoscaling/min_replicas", kDense70B,
       Changed({"serving/autoscaling/min_replicas=2"}, scaled)},
      {"/serving/autoscaling/target_requests", kDense70B,
       Changed({"serving/autoscaling/target_requests=2"}, scaled)},
      {"/serving/autoscaling/startup", kDense70B,
       Changed({"serving/autoscaling/startup=5s"}, scaled)},
      {"/serving/autoscaling/interval", kDense70B,
       Changed({"serving/autoscaling/interval=3s"}, scaled)},
      {"/serving/autoscaling/stabilization", kDense70B,
       Changed({"serving/autoscaling/stabilization=0s"}, scaled)},
      {"/serving/weights", kDense70B, Changed({"serving/weights=fp8"}, few)},
      {"/serving/kv_bits", kDense70B, Changed({"serving/kv_bits=8"}, few)},
      {"/serving/engine/preset", kDense70B, Changed({"serving/engine/preset=trtllm"}, few)},
      {"/serving/engine/policy", kDense70B, Changed({"serving/engine/policy=decode-first"}, few)},
      {"/serving/engine/max_num_seqs", kDense70B, Changed({"serving/engine/max_num_seqs=4"}, few)},
      {"/serving/engine/max_num_batched_tokens", kDense70B,
       Changed({"serving/engine/max_num_batched_tokens=512"}, few)},
      {"/serving/engine/block_size", kDense70B, Changed({"serving/engine/block_size=256"}, few)},
      {"/serving/engine/gpu_memory_utilization", kDense70B,
       Changed({"serving/engine/gpu_memory_utilization=0.8"}, few)},
      {"/serving/engine/activations", kDense70B,
       Changed({"serving/engine/activations=10GiB"}, few)},
      {"/serving/engine/max_model_len", kDense70B,
       Changed({"serving/engine/max_model_len=1000"}, few)},
      {"/serving/engine/enable_prefix_caching", kPrefixes,
       Changed({"serving/engine/enable_prefix_caching=false"}, few)},
      {"/serving/engine/cache_tiers/0/capacity", kPrefixes,
       Changed({"serving/engine/cache_tiers/0/capacity=100MiB"}, tiers)},
      {"/serving/engine/cache_tiers/0/bandwidth", kPrefixes,
       Changed({"serving/engine/cache_tiers/0/bandwidth=50MB/s"}, tiers)},
      {"/serving/engine/preemption_mode", kDense70B,
       Changed({"serving/engine/preemption_mode=swap"}, full)},
      {"/serving/engine/swap_space", kDense70B,
       Changed({"serving/engine/preemption_mode=swap", "serving/engine/swap_space=20MiB"}, full)},
      {"/serving/engine/custom_all_reduce", kDense70B,
       Changed({"serving/engine/custom_all_reduce=false"}, few)},
      {"/serving/engine/all_to_all", kV2, Changed({"serving/engine/all_to_all=normal"}, few)},
      {"/serving/engine/chunked_prefix_cache_threshold", kV2,
       Changed({"serving/engine/max_num_batched_tokens=512",
                "serving/engine/chunked_prefix_cache_threshold=8192"},
               few)},
      {"/serving/engine/enable_eplb", kV2, Changed({"serving/engine/enable_eplb=true"}, tokens)},
      {"/serving/engine/num_redundant_experts", kV2,
       Changed({"serving/engine/enable_eplb=true", "serving/engine/num_redundant_experts=16"},
               tokens)},
      {"/serving/engine/enable_dbo", kV2, Changed({"serving/engine/enable_dbo=true"}, fast)},
      {"/serving/engine/dbo_decode_token_threshold", kV2,
       Changed({"serving/engine/enable_dbo=true", "serving/engine/dbo_decode_token_threshold=2"},
               fast)},
      {"/serving/engine/dbo_prefill_token_threshold", kV2,
       Changed({"serving/engine/enable_dbo=true", "serving/engine/dbo_prefill_token_threshold=2"},
               fast)},
      {"/serving/engine/num_speculative_tokens", kV2,
       Changed({"serving/engine/num_speculative_tokens=1"}, v3)},
      {"/serving/engine/acceptance_rate", kV2,
       Changed({"serving/engine/num_speculative_tokens=1", "serving/engine/acceptance_rate=0.5"},
               v3)},
      {"/serving/engine/iteration_overhead", kDense70B,
       Changed({"serving/engine/iteration_overhead=5ms"}, few)},
      {"/serving/engine/sequence_overhead", kDense70B,
       Changed({"serving/engine/sequence_overhead=1ms"}, few)},
      {"/serving/engine/enforce_eager", kDense70B,
       Changed({"serving/engine/enforce_eager=true"}, few)},
      {"/serving/engine/kernel_launch", kDense70B,
       Changed({"serving/engine/enforce_eager=true", "serving/engine/kernel_launch=60us"}, few)},
      {"/serving/engine/sigma", kDense70B, Changed({"serving/engine/sigma=0"}, few)},
      {"/serving/routing/device_cv", kV2, Changed({"serving/routing/device_cv=0.2"}, few)},
      {"/serving/routing/tokens/distribution", kV2,
       Changed({"serving/routing/tokens/distribution=zipf"}, tokens)},
      {"/serving/routing/tokens/zipf_exponent", kV2,
       Changed(
           {"serving/routing/tokens/distribution=zipf", "serving/routing/tokens/zipf_exponent=1"},
           few)},
      {"/serving/routing/tokens/clusters", kV2,
       Changed({"serving/routing/tokens/clusters=4"}, tokens)},
      {"/serving/routing/tokens/concentration", kV2,
       Changed({"serving/routing/tokens/concentration=5"}, tokens)},
      {"/serving/routing/tokens/dwell", kV2,
       Changed({"serving/routing/tokens/dwell=2000"}, tokens)},
      {"/serving/routing/tokens/layer_correlation", kV2,
       Changed({"serving/routing/tokens/layer_correlation=0"}, tokens)},
      {"/serving/routing/recorded", kV2,
       Changed({"serving/routing/recorded=" + RecordedCounts()}, few)},
      {"/serving/routing/capacity_factor", kV2,
       Changed({"serving/routing/device_cv=0.2", "serving/routing/capacity_factor=1.05"}, few)},
      {"/serving/routing/never_dropped", kV2,
       Changed({"serving/routing/device_cv=0.2", "serving/routing/capacity_factor=1.05",
                "serving/routing/never_dropped=1"},
               few)},
      {"/serving/routing/topk_group", kV2, Changed({"serving/routing/topk_group=6"}, few)},
      {"/serving/routing/top_p", kV2, Changed({"serving/routing/top_p=0.02"}, tokens)},
  };
  return cases;
}

// What is answered, without the deployment that it says again.
std::string Answer(const char* scenario, const Sets& sets) {
  const ServingScenario s = ServingScenario::Load(scenario, sets, 1);
  ServingCosts costs(s.run);
  Json json = ServeJson(Serve(s.run, costs, {}).report);
  json.erase("deployment");
  return DumpJson(json);
}

TEST(ServingFieldsTest, EveryFieldOfTheTableHasACase) {
  std::vector<FieldDoc> docs;
  Codec<ServingSpec>::Table().Document("", docs);
  std::set<std::string> documented, covered;
  for (const FieldDoc& d : docs) {
    if (d.pointer.rfind("/serving/", 0) != 0) continue;
    std::string of_deployment = d.pointer;
    for (const char* part : {"/parallel/", "/engine/", "/autoscaling/"})
      if (const std::string pool = std::string("/serving/prefill") + part;
          d.pointer.rfind(pool, 0) == 0)
        of_deployment = std::string("/serving") + part + d.pointer.substr(pool.size());
    documented.insert(of_deployment);
  }
  for (const ServingField& c : ServingFields()) covered.insert(c.pointer);
  EXPECT_EQ(documented, covered);
}

TEST(SlowServingFieldsTest, ChangingAFieldChangesTheAnswer) {
  std::map<std::pair<std::string, Sets>, std::string> answers;
  for (const ServingField& c : ServingFields()) {
    Sets sets = c.sets;
    sets.pop_back();
    std::string& without = answers[{c.scenario, sets}];
    if (without.empty()) without = Answer(c.scenario, sets);
    EXPECT_NE(without, Answer(c.scenario, c.sets)) << c.pointer;
  }
}

}  // namespace
}  // namespace moecast
