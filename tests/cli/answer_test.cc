#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

// Every answer says what it is of: what was overridden, in the order given, the seed, the version.
TEST(AnswerTest, NamesOverridesSeedAndVersion) {
  for (const char* command :
       {"model deepseek-v2-lite", "op gemm --device h800 --m 64 --n 64 --k 64 --dtype bf16",
        "pipeline --schedule 1f1b --stages 2 --micro-batches 4 --forward 1ms --backward 1ms "
        "--weight 1ms",
        "train deepseek-67b-pretrain", "serve deepseek-v2-serve-h800",
        "diff deepseek-67b-pretrain deepseek-67b-pretrain --set-b training/schedule=zb-h1",
        "topo h800-8", "collective all-reduce --cluster h800-8 --ranks 0-7 --bytes 1MiB",
        "routing deepseek-v2-pretrain --steps 1 --layers 1 --step-tokens 64",
        "traffic stats azure-conv-like", "validate schedules"}) {
    SCOPED_TRACE(command);
    const Json json = RunForJson(std::string(command) + " --seed 7");
    EXPECT_EQ(json["overrides"], Json::array());
    EXPECT_EQ(json["seed"], 7);
    EXPECT_EQ(json["version"], "0.1.0");
  }
  EXPECT_EQ(
      RunForJson(
          "train deepseek-67b-pretrain --set training/micro_batch=2 --set unknown={}")["overrides"],
      Json::array({"training/micro_batch=2", "unknown={}"}));
  EXPECT_EQ(RunForJson("traffic stats azure-conv-like --set requests=100")["overrides"],
            Json::array({"requests=100"}));
}

// What programs read on is as it is.
TEST(AnswerTest, DocumentsAreOfTheirOwnKeysAlone) {
  const Json resolved = RunForJson("scenario deepseek-67b-pretrain --set unknown={}");
  EXPECT_FALSE(resolved.contains("version"));
  EXPECT_FALSE(resolved.contains("overrides"));
  EXPECT_FALSE(RunForJson("scenario --schema").contains("version"));
  for (const char* list :
       {"scenario --list", "scenario --fields", "topo --fields", "traffic list", "traffic fields"})
    EXPECT_TRUE(RunForJson(list).is_array()) << list;
}

}  // namespace
}  // namespace moecast
