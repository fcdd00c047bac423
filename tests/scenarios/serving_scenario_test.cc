#include "scenarios/serving_scenario.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace moecast {
namespace {

EngineSpec EngineOf(const std::string& scenario, const std::vector<std::string>& sets) {
  return ServingScenario::Load(scenario, sets, 1).run.deployment.engine;
}
constexpr char kAzure[] = "deepseek-v2-azure-conv-like";

TEST(EnginePresetTest, GivesWhatTheScenarioDoesNot) {
  EngineSpec expected;
  expected.preset = "trtllm";
  expected.policy = "reserving";
  expected.max_num_seqs = 2048;
  expected.block_size = 32;
  expected.gpu_memory_utilization = 0.95;
  expected.activations = Bytes(3.0 * (1 << 30));
  EXPECT_EQ(EngineOf(kAzure, {"serving/engine/preset=trtllm"}), expected);
  expected.max_num_seqs = 12;
  EXPECT_EQ(EngineOf(kAzure, {"serving/engine/preset=trtllm", "serving/engine/max_num_seqs=12"}),
            expected);
}

TEST(EnginePresetTest, EachPoolHasItsOwn) {
  const Deployment d = ServingScenario::Load("deepseek-v2-disaggregated",
                                             {{"serving/prefill/engine/preset=sglang"}}, 1)
                           .run.deployment;
  EXPECT_EQ(d.engine.policy, "mixed");
  EXPECT_EQ(d.prefill->engine.policy, "prefill-first");
  EXPECT_EQ(d.prefill->engine.block_size, 1);
}

TEST(EnginePresetTest, FaultsNameTheFieldOrTheFile) {
  const auto fault = [](const std::string& set) {
    try {
      EngineOf(kAzure, {set});
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const std::string unknown = fault("serving/engine/preset=vlm");
  EXPECT_NE(unknown.find("/serving/engine/preset"), std::string::npos) << unknown;
  EXPECT_NE(unknown.find("did you mean \"vllm\""), std::string::npos) << unknown;
  EXPECT_NE(fault("serving/engine/preset=7").find("/serving/engine/preset"), std::string::npos);

  const std::string path = testing::TempDir() + "engine_preset.json";
  const auto of_file = [&](const std::string& engine) {
    WriteFile(path, R"({"source": "a test", "engine": )" + engine + "}");
    return fault("serving/engine/preset=" + path);
  };
  EXPECT_EQ(of_file(R"({"max_num_seqs": 3})"), "");
  for (const char* engine :
       {R"({"max_num_sequences": 3})", R"({"preset": "vllm"})", R"({"block_size": 0})"}) {
    const std::string wrong = of_file(engine);
    EXPECT_NE(wrong.find("engine_preset.json"), std::string::npos) << wrong;
    EXPECT_NE(wrong.find("/engine/"), std::string::npos) << wrong;
  }
}

}  // namespace
}  // namespace moecast
