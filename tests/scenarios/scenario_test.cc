#include "scenarios/scenario.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "scenarios/builtin.h"
#include "sim/forecast/forecast.h"
#include "sim/forecast/train_report.h"
#include "tests/scenarios/recorded_counts.h"
#include "viz/train_view.h"

namespace moecast {
namespace {

const Fields<ScenarioSpec>& Table() {
  return FieldsOf(static_cast<const ScenarioSpec*>(nullptr));
}

Scenario Load(const std::string& name, std::vector<std::string> sets = {}) {
  return Scenario::Load(name, sets);
}

std::string Report(const Scenario& s, StepCache& cache) {
  const PreparedRun run(s.training(), cache);
  std::vector<UnknownField> unknowns;
  for (const Unknown& u : s.spec().unknown.list)
    unknowns.push_back({u.pointer, static_cast<int>(u.values.size())});
  TrainReport report =
      Summarize(run,
                ForecastRun(
                    run, unknowns, [&](std::span<const int> c) { return s.Variant(c); },
                    {.samples = 8}, cache),
                cache);
  report.source = s.spec().source;
  return DumpJson(TrainJson(report, std::nullopt));
}
std::string Report(const Scenario& s) {
  StepCache cache;
  return Report(s, cache);
}

TEST(ScenarioTest, EveryBuiltInScenarioReadsBackWhatItPrints) {
  const auto names = BuiltinNames("training");
  ASSERT_GE(names.size(), 4u);
  for (const std::string_view name : names) {
    const Json printed = Table().Print(Load(std::string(name)).spec());
    const Scenario again = Scenario::FromText(DumpJson(printed), "printed", "printed", {});
    EXPECT_EQ(Table().Print(again.spec()), printed) << name;
  }
}

TEST(ScenarioTest, AFieldThatIsSetIsNoLongerUnknown) {
  const auto unknown = [](std::vector<std::string> sets) {
    std::set<std::string> pointers;
    const Scenario s = Load("deepseek-v2-pretrain", std::move(sets));
    for (const Unknown& u : s.spec().unknown.list) pointers.insert(u.pointer);
    return pointers;
  };
  const std::set<std::string> all = unknown({});
  ASSERT_EQ(all.count("/training/parallel/dp"), 1u);
  ASSERT_EQ(all.count("/training/parallel/rank_order"), 1u);
  std::set<std::string> expected = all;
  expected.erase("/training/parallel/dp");
  EXPECT_EQ(unknown({"training/parallel/dp=64"}), expected);
  EXPECT_EQ(unknown({"/training/parallel/dp=64"}), expected);
  // A part of the name is no part of the path.
  EXPECT_EQ(unknown({"training/micro_batch=2"}), all);
  expected.erase("/training/parallel/rank_order");
  EXPECT_EQ(unknown({R"(training/parallel={"pp": 16, "ep": 8, "dp": 128})"}), expected);
  // What is declared unknown afterwards is.
  EXPECT_EQ(unknown({"training/parallel/dp=64", R"(unknown={"/training/parallel/dp": [64, 96]})"}),
            std::set<std::string>{"/training/parallel/dp"});
}

// A value for every field of the table whose change must change the report, and the scenario where
// it does.
struct ScenarioField {
  const char* pointer;
  const char* scenario;
  std::vector<std::string> sets;  // the last one sets the field; the others are part of both sides
};

constexpr char kMoe[] = "deepseek-v2-pretrain", kDense[] = "deepseek-67b-pretrain";

const std::vector<ScenarioField>& ScenarioFields() {
  static const std::vector<ScenarioField> cases = {
      {"/model",
       kDense,
       {"unknown={}", "training/parallel={\"tp\":8,\"pp\":8,\"dp\":16}", "model=llama-3-70b"}},
      {"/cluster", kMoe, {"cluster=h100-2048"}},
      {"/stack", kMoe, {"stack=2025"}},
      {"/source", kMoe, {"source=elsewhere"}},
      {"/training/phases/0/name", kMoe, {"training/phases/0/name=long"}},
      {"/training/phases/0/tokens", kMoe, {"training/phases/0/tokens=1T"}},
      {"/training/phases/0/sequence_length", kMoe, {"training/phases/0/sequence_length=8192"}},
      {"/training/phases/0/global_batch", kMoe, {"training/phases/0/global_batch=4608"}},
      {"/training/phases/0/global_batch_from", kMoe, {"training/phases/0/global_batch_from=2304"}},
      {"/training/phases/0/steps",
       kMoe,
       {R"(training/phases=[{"steps":10,"global_batch":9216}])", "training/phases/0/steps=20"}},
      {"/training/phases/0/sequences",
       kMoe,
       {R"(training/phases=[{"sequences":"1M","global_batch":9216}])",
        "training/phases/0/sequences=2M"}},
      {"/training/phases/0/mean_length",
       kMoe,
       {R"(training/phases=[{"sequences":"1M","global_batch":9216}])",
        "training/phases/0/mean_length=700"}},
      {"/training/phases/0/plan", kMoe, {R"(training/phases/0/plan={"parallel":{"ep":4}})"}},
      {"/training/micro_batch", kMoe, {"training/micro_batch=2"}},
      {"/training/precision/gemm", kMoe, {"training/precision/gemm=fp8_block"}},
      {"/training/precision/dispatch", kMoe, {"training/precision/dispatch=fp8_block"}},
      {"/training/precision/combine", kMoe, {"training/precision/combine=fp8_block"}},
      {"/training/precision/saved_activations",
       kMoe,
       {"training/precision/saved_activations=fp8_block"}},
      {"/training/precision/saved_swiglu", kMoe, {"training/precision/saved_swiglu=fp8_block"}},
      {"/training/precision/weights",
       kMoe,
       {"training/precision/gemm=fp8_block", "training/precision/weights=bf16"}},
      {"/training/precision/main_grad", kMoe, {"training/precision/main_grad=bf16"}},
      {"/training/precision/grad_reduce", kMoe, {"training/precision/grad_reduce=fp32"}},
      {"/training/precision/master", kMoe, {"training/precision/master=bf16"}},
      {"/training/precision/moments", kMoe, {"training/precision/moments=bf16"}},
      {"/training/parallel/tp",
       kDense,
       {"unknown={}", "training/parallel/dp=4", "training/parallel/tp=4"}},
      {"/training/parallel/pp", kDense, {"unknown={}", "training/parallel/pp=4"}},
      {"/training/parallel/vpp",
       kDense,
       {"unknown={}", "training/schedule=interleaved", "training/parallel/vpp=2"}},
      {"/training/parallel/ep", kMoe, {"training/parallel/ep=4"}},
      {"/training/parallel/expert_tp",
       kMoe,
       {"unknown={}", "training/parallel/tp=2", "training/parallel/dp=64",
        "training/parallel/expert_tp=1"}},
      {"/training/parallel/cp", kDense, {"unknown={}", "training/parallel/cp=2"}},
      {"/training/parallel/dp", kMoe, {"training/parallel/dp=64"}},
      {"/training/parallel/zero", kMoe, {"training/parallel/zero=0"}},
      {"/training/parallel/sequence", kDense, {"unknown={}", "training/parallel/sequence=false"}},
      {"/training/parallel/rank_order",
       kMoe,
       {"unknown={}", "training/parallel/rank_order=[\"tp\",\"cp\",\"dp\",\"ep\",\"pp\"]"}},
      {"/training/stage_layers", kMoe, {"training/stage_layers=[3,4,4,4,4,4,4,4,4,4,4,4,4,4,3,2]"}},
      {"/training/schedule", kMoe, {"unknown={}", "training/schedule=1f1b"}},
      {"/training/weight_delay", kMoe, {"unknown={}", "training/weight_delay=1"}},
      {"/training/memory_limit",
       kMoe,
       {"unknown={}", "training/weight_delay=null", "training/schedule=zb-2p",
        "training/memory_limit=60GiB"}},
      {"/training/recompute", kMoe, {"unknown={}", "training/recompute=[\"rmsnorm\"]"}},
      {"/training/fused_cross_entropy", kMoe, {"training/fused_cross_entropy=true"}},
      {"/training/overlap/shared_experts", kMoe, {"training/overlap/shared_experts=false"}},
      {"/training/overlap/tp", kDense, {"training/overlap/tp=false"}},
      {"/training/overlap/grad_reduce", kMoe, {"training/overlap/grad_reduce=false"}},
      {"/training/overlap/param_gather",
       kDense,
       {"unknown={}", "training/overlap/param_gather=true"}},
      {"/training/overlap/offload",
       kMoe,
       {"training/optimizer/offload=0.5", "training/overlap/offload=false"}},
      {"/training/overlap/communication_sms", kMoe, {"training/overlap/communication_sms=40"}},
      {"/training/collectives/all_gather", kMoe, {"training/collectives/all_gather=ring-ll"}},
      {"/training/collectives/reduce_scatter",
       kMoe,
       {"unknown={}", "training/collectives/reduce_scatter=hierarchical"}},
      {"/training/collectives/all_reduce",
       kMoe,
       {"training/parallel/zero=0", "training/collectives/all_reduce=ring-ll"}},
      {"/training/collectives/dispatch", kMoe, {"training/collectives/dispatch=direct"}},
      {"/training/collectives/combine", kMoe, {"training/collectives/combine=low-latency"}},
      {"/training/routing/device_cv", kMoe, {"training/routing/device_cv=0.4"}},
      {"/training/routing/tokens/distribution",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens={}", "training/routing/tokens/distribution=zipf"}},
      {"/training/routing/tokens/zipf_exponent",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens/distribution=zipf", "training/routing/tokens/zipf_exponent=1"}},
      {"/training/routing/tokens/clusters",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens/distribution=clusters", "training/routing/tokens/clusters=4"}},
      {"/training/routing/tokens/concentration",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens/distribution=clusters",
        "training/routing/tokens/concentration=0.1"}},
      {"/training/routing/tokens/dwell",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens/distribution=clusters", "training/routing/tokens/dwell=2000"}},
      {"/training/routing/tokens/layer_correlation",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens/distribution=clusters",
        "training/routing/tokens/layer_correlation=0"}},
      {"/training/routing/recorded",
       kMoe,
       {"training/routing/device_cv=0", "training/routing/recorded=" + RecordedCounts()}},
      {"/training/routing/topk_group", kMoe, {"training/routing/topk_group=2"}},
      {"/training/routing/top_p",
       kMoe,
       {"unknown={}", "training/phases/0/sequence_length=512", "training/routing/device_cv=0",
        "training/routing/tokens={}", "training/routing/top_p=0.2"}},
      {"/training/routing/capacity_factor", kMoe, {"training/routing/capacity_factor=1.2"}},
      {"/training/routing/never_dropped", kMoe, {"training/routing/never_dropped=1"}},
      {"/training/optimizer/grad_clip", kMoe, {"unknown={}", "training/optimizer/grad_clip=none"}},
      {"/training/optimizer/offload", kMoe, {"training/optimizer/offload=0.5"}},
      {"/whole_step/sustained", kMoe, {"whole_step/sustained=0.4"}},
      {"/whole_step/gap", kMoe, {"whole_step/gap=5us"}},
      {"/whole_step/era", kMoe, {"whole_step/era=0.9"}},
      {"/whole_step/sigma", kMoe, {"whole_step/sigma=0"}},
      {"/price/usd_per_gpu_hour", kMoe, {"price/usd_per_gpu_hour=3"}},
      {"/reliability/mtbf_per_gpu", kMoe, {"reliability={}", "reliability/mtbf_per_gpu=1000h"}},
      {"/reliability/checkpoint_interval",
       kMoe,
       {"reliability={}", "reliability/checkpoint_interval=1h"}},
      {"/reliability/checkpoint_write",
       kMoe,
       {"reliability={}", "reliability/checkpoint_write=30s"}},
      {"/reliability/checkpoint_bandwidth",
       kMoe,
       {"reliability={}", "reliability/checkpoint_bandwidth=1GB/s"}},
      {"/reliability/restart", kMoe, {"reliability={}", "reliability/restart=1h"}},
      {"/unknown", kMoe, {"unknown={}"}},
  };
  return cases;
}

// Of another folder than the built-in one; tests/scenarios/calibrate/import_test.cc reads such a
// folder.
constexpr char kNotHere[] = "/calibration";

TEST(ScenarioFieldsTest, EveryFieldOfTheTableHasACase) {
  std::vector<FieldDoc> docs;
  Table().Document("", docs);
  std::set<std::string> documented, covered{kNotHere};
  for (const FieldDoc& d : docs) documented.insert(d.pointer);
  for (const ScenarioField& c : ScenarioFields()) covered.insert(c.pointer);
  EXPECT_EQ(documented, covered);
}

// One cache for all: a field that its keys leave out would change nothing either.
TEST(SlowScenarioFieldsTest, ChangingAFieldChangesTheReport) {
  StepCache cache;
  std::map<std::pair<std::string, std::vector<std::string>>, std::string> reports;
  for (const ScenarioField& c : ScenarioFields()) {
    std::vector<std::string> sets = c.sets;
    sets.pop_back();
    std::string& without = reports[{c.scenario, sets}];
    if (without.empty()) without = Report(Load(c.scenario, sets), cache);
    EXPECT_NE(without, Report(Load(c.scenario, c.sets), cache)) << c.pointer;
  }
}

TEST(ScenarioTest, TheSameSeedGivesTheSameReport) {
  EXPECT_EQ(Report(Load(kMoe)), Report(Load(kMoe)));
}

struct ErrorCase {
  std::vector<std::string> sets;
  const char* pointer;
  const char* says;  // a part of the message
};

TEST(ScenarioErrorTest, WhatIsWrongIsNamedWithItsPlaceAndWhatWasExpected) {
  const ErrorCase cases[] = {
      {{"training/parallel/tpp=4"}, "/training/parallel/tpp", "did you mean \"tp\""},
      {{"whole_step/sustained=0"}, "/whole_step/sustained", "a number from 0.0100000 to 1.00000"},
      {{"whole_step/gap=29"}, "/whole_step/gap", "a unit such as 18.5ms"},
      {{"modle=x"}, "/modle", "did you mean \"model\""},
      {{"model=deepseek-v22"}, "/model", "did you mean \"deepseek-v2\""},
      {{"cluster=h800-2049"}, "/cluster", "did you mean \"h800-2048\""},
      {{"stack=2026"}, "/stack", "2024h1"},
      {{"training/parallel/tp=0"}, "/training/parallel/tp", "from 1"},
      {{"training/parallel/tp=-3"}, "/training/parallel/tp", "from 1"},
      {{"training/parallel/tp=1.5"}, "/training/parallel/tp", "whole number"},
      {{"training/parallel/tp=two"}, "/training/parallel/tp", "whole number"},
      {{"training/parallel/tp=3"}, "/training/parallel/tp", "divisor of the attention heads, 128"},
      {{"training/parallel/ep=3"}, "/training/parallel/ep", "divisor of dp"},
      {{"training/parallel/expert_tp=3"}, "/training/parallel/expert_tp", "1, or tp, 1"},
      {{"training/parallel/tp=2", "training/parallel/dp=64", "training/parallel/expert_tp=1",
        "training/parallel/sequence=false"},
       "/training/parallel/expert_tp",
       "tp without sequence parallelism"},
      {{"training/parallel/tp=2", "training/parallel/dp=64", "training/parallel/expert_tp=1",
        "training/parallel/ep=5"},
       "/training/parallel/ep",
       "a multiple of tp, 2, and a divisor of tp * dp, 128"},
      {{"training/parallel/ep=64"}, "/training/parallel/ep", "divisor of the experts, 160"},
      {{"training/parallel/dp=120"},
       "/training/phases/0/global_batch",
       "multiple of micro_batch * dp, 120"},
      {{"training/parallel/pp=61"}, "/training/parallel/pp", "at most"},
      {{"training/parallel/dp=1000000000000000000"},
       "/training/parallel/dp",
       "whole number from 1"},
      {{"training/phases=[]"}, "/training/phases", "at least one phase"},
      {{"training/phases/0/global_batch=0"}, "/training/phases/0/global_batch", "from 1"},
      {{"training/phases/0/tokens=8100000000000"}, "/training/phases/0/tokens", "text with a unit"},
      {{"training/phases/0/tokens=8.1 parsecs"}, "/training/phases/0/tokens", "8.1T"},
      {{"training/phases/0/tokens=nan"}, "/training/phases/0/tokens", "8.1T"},
      {{"training/stage_layers=[1,2]"}, "/training/stage_layers", "16 numbers"},
      {{"training/stage_layers=[60,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"},
       "/training/stage_layers",
       "at least one layer"},
      {{"training/stage_layers=[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4]"},
       "/training/stage_layers",
       "sum to the 60"},
      {{"training/stage_layers=balancd"}, "/training/stage_layers", "did you mean \"balanced\""},
      {{"training/schedule=zbh1"}, "/training/schedule", "did you mean \"zb-h1\""},
      {{"training/collectives/dispatch=two-hops"},
       "/training/collectives/dispatch",
       "auto or one of two-hop, store-and-forward, low-latency, direct (did you mean "
       "\"two-hop\"?)"},
      {{"training/collectives/reduce_scatter=nvls"},
       "/training/collectives/reduce_scatter",
       "an algorithm for the ranks of dp: nvls takes ranks on one node"},
      {{"training/parallel/vpp=2"}, "/training/parallel/vpp", "1 with the schedule zb-h1"},
      {{"training/recompute=[\"rmsnorm\",\"rmsnorm\"]"}, "/training/recompute/0", "once"},
      {{"training/recompute=[\"norm\"]"}, "/training/recompute/0", "rmsnorm"},
      {{"training/parallel/rank_order=[\"tp\"]"},
       "/training/parallel/rank_order",
       "each of tp, cp, ep, dp, pp once"},
      {{"training/routing/tokens/distribution=zip"},
       "/training/routing/tokens/distribution",
       "\"zipf\""},
      {{"training/routing/tokens/dwell=0"}, "/training/routing/tokens/dwell", "a number from 1"},
      {{"training/routing/topk_group=9"},
       "/training/routing/topk_group",
       "from 1, which hold the experts of a token, to the model's 8"},
      {{"model=mixtral-8x22b", "training/recompute=[]", "training/routing/topk_group=1"},
       "",
       "groups"},
      {{"training/routing/top_p=0.5"}, "/training/routing/top_p", "none without tokens"},
      {{"training/routing/device_cv=0", "training/routing/tokens={}", "training/routing/top_p=0"},
       "/training/routing/top_p",
       "a number from 0.00100000"},
      {{"training/routing/tokens/zipf_exponent=-1"},
       "/training/routing/tokens/zipf_exponent",
       "a number from 0"},
      {{"training/routing/tokens/concentration=0"},
       "/training/routing/tokens/concentration",
       "a number from 0.01"},
      {{"training/routing/tokens/layer_correlation=1.5"},
       "/training/routing/tokens/layer_correlation",
       "to 1"},
      {{"training/routing/capacity_factor=0"},
       "/training/routing/capacity_factor",
       "a number from 0.1"},
      {{"training/routing/recorded=x.csv"}, "/training/routing/device_cv", "0 where recorded says"},
      {{"training/routing/device_cv=0", "training/routing/recorded=/nowhere/x.csv"},
       "",
       "/nowhere/x.csv"},
      {{"training/routing/tokens={}"}, "/training/routing/device_cv", "0 where tokens say"},
      {{"training/routing/device_cv=1e999"}, "", "--set"},
      {{"training/parallel={\"tp\":1,\"tp\":2}"}, "", "the key \"tp\" twice in one object"},
      {{"training/overlap/communication_sms=132"},
       "/training/overlap/communication_sms",
       "at most 131"},
      {{"training/micro_batch=1048576"},
       "/training/phases/0/sequence_length",
       "tokens in a micro-batch"},
      {{"training/precision/moments=fp8"}, "/training/precision", "fp32 or bf16"},
      {{"training/precision/weights=fp4"}, "/training/precision/weights", "one of fp32"},
      {{"training/optimizer/offload=1.5"}, "/training/optimizer/offload", "from 0"},
      {{"training/overlap/offload=1"}, "/training/overlap/offload", "true or false"},
      {{"training/memory_limit=60GiB"},
       "/training/memory_limit",
       "no limit with the schedule zb-h1"},
      {{"training/memory_limit=60 parsecs"},
       "/training/memory_limit",
       "or a number of micro-batches"},
      {{"training/memory_limit=0"}, "/training/memory_limit", "from 1"},
      {{"training/memory_limit=-2GiB"}, "/training/memory_limit", "bytes with a unit"},
      {{"training/precision=7"}, "/training/precision", "object"},
      {{"unknown={\"training\": [1]}"}, "/unknown/training", "JSON pointer"},
      {{"unknown={\"/training/parallel/dp\": []}"}, "/unknown", "1 to 32 values"},
      {{"unknown={\"/training/parallel/dp\": [128, 120]}"},
       "/training/phases",
       "multiple of micro_batch * dp"},
      {{"unknown={\"/training/paralel/dp\": [1]}"},
       "/training/paralel",
       "did you mean \"parallel\""},
      {{"training/parallel/tp"}, "", "a path, '=' and a value"},
      {{"=3"}, "", "a path, '=' and a value"},
  };
  for (const ErrorCase& c : cases) {
    try {
      Load(kMoe, c.sets);
      ADD_FAILURE() << "no error for " << c.sets.back();
    } catch (const UserError& e) {
      EXPECT_NE(std::string(e.what()).find(c.says), std::string::npos) << c.sets.back() << "\n"
                                                                       << e.what();
      EXPECT_EQ(e.parts().pointer.substr(0, std::string_view(c.pointer).size()), c.pointer)
          << e.what();
    }
  }
}

TEST(ScenarioErrorTest, AStepBeyondTheEnginesTimeIsRefused) {
  // Attention over 16M tokens: 10^8 times the query-key pairs of a 4K sequence, a thousand times
  // for each token.
  const Scenario s = Load(kMoe, {"unknown={}", "training/phases/0/sequence_length=16777216",
                                 "training/phases/0/global_batch=15360"});
  try {
    StepCache cache;
    const PreparedRun run(s.training(), cache);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_NE(std::string(e.what()).find("s of work"), std::string::npos) << e.what();
  }
}

TEST(ScenarioErrorTest, AFileSaysWhichOfItsFieldsIsMissing) {
  try {
    Scenario::FromText(R"({"model": "deepseek-v2", "cluster": "h800-2048"})", "plan.json", "plan",
                       {});
    FAIL();
  } catch (const UserError& e) {
    EXPECT_EQ(e.parts().file, "plan.json");
    EXPECT_NE(std::string(e.what()).find("\"training\""), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace moecast
