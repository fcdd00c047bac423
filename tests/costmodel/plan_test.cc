#include "costmodel/plan.h"

#include <gtest/gtest.h>

#include "base/fields.h"

namespace moecast {
namespace {

Plan Parse(const std::string& text) {
  return Codec<Plan>::Parse(JsonCursor(ParseJson(text, "plan.json")), {});
}
std::string MessageOf(const std::string& text) {
  try {
    Parse(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}
std::string With(const std::string& fields) {
  return R"({"phases": [{"tokens": "8.1T", "global_batch": 9216}])" +
         (fields.empty() ? "" : ", " + fields) + "}";
}

TEST(PlanTest, FieldsLeftOutHaveTheirDefaults) {
  const Plan plan = Parse(With(R"("parallel": {"pp": 16, "ep": 8, "dp": 128})"));
  EXPECT_EQ(plan.phases.at(0).tokens->value, 8.1e12);
  EXPECT_EQ(plan.phases.at(0).sequence_length, 4096);
  EXPECT_EQ(plan.parallel.pp, 16);
  EXPECT_EQ(plan.parallel.tp, 1);
  EXPECT_EQ(plan.parallel.gpus(), 2048);
  EXPECT_EQ(plan.parallel.edp(), 16);
  EXPECT_TRUE(plan.stage_layers.balanced());
  EXPECT_EQ(plan.schedule, "1f1b");
  EXPECT_EQ(plan.MicroBatches(plan.phases[0]), 72);
}

TEST(PlanTest, PrintingAndParsingGiveTheSamePlan) {
  const Plan plan = Parse(With(
      R"("micro_batch": 2, "stage_layers": [3, 4, 5], "recompute": ["rmsnorm", "mla_up"], "schedule": "zb-h1",
      "precision": {"gemm": "fp8_block", "moments": "bf16"}, "routing": {"device_cv": 0.1, "capacity_factor": 1.0},
      "overlap": {"tp": false, "communication_sms": 12}, "optimizer": {"grad_clip": "post-validation"},
      "parallel": {"rank_order": ["ep", "tp", "cp", "dp", "pp"], "zero": 3})"));
  const std::string printed = DumpJson(Codec<Plan>::Print(plan));
  EXPECT_EQ(DumpJson(Codec<Plan>::Print(Parse(printed))), printed);
  EXPECT_EQ(plan.stage_layers.layers, (std::vector<int>{3, 4, 5}));
  EXPECT_TRUE(plan.Recomputes(Recompute::kMlaUp));
  EXPECT_FALSE(plan.Recomputes(Recompute::kLayer));
  EXPECT_EQ(plan.parallel.rank_order[0], Axis::kEp);
  EXPECT_EQ(plan.routing.capacity_factor, 1.0);
}

TEST(PlanTest, FaultsNameThePlaceTheValueAndWhatIsRight) {
  const struct {
    const char* fields;
    std::vector<const char*> words;
  } cases[] = {
      {R"("parallel": {"tp": 0})", {"plan.json", "/parallel/tp", "0", "1"}},
      {R"("parallel": {"dp": 1000000000000000000})", {"/parallel/dp", "1048576"}},
      {R"("parallel": {"zero": 4})", {"/parallel/zero", "4", "3"}},
      {R"("recompute": ["rmsnrom"])", {"/recompute/0", "rmsnrom", "did you mean \"rmsnorm\""}},
      {R"("stage_layers": "balancd")", {"/stage_layers", "balancd", "did you mean \"balanced\""}},
      {R"("optimizer": {"grad_clip": 1})", {"/optimizer/grad_clip", "barrier"}},
      {R"("schedul": "1f1b")", {"schedul", "schedule"}},
      {R"("routing": {"device_cv": -1})", {"/routing/device_cv", "-1"}},
      {R"("micro_batch": 1.5)", {"/micro_batch", "1.5"}},
  };
  for (const auto& c : cases) {
    const std::string message = MessageOf(With(c.fields));
    for (const char* word : c.words)
      EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
  }
  EXPECT_NE(MessageOf("{}").find("phases"), std::string::npos);
  EXPECT_NE(
      MessageOf(R"({"phases": [{"tokens": 8.1, "global_batch": 1}]})").find("/phases/0/tokens"),
      std::string::npos);
}

TEST(PlanTest, TheLargestSizesDoNotOverflowTheGpuCount) {
  const Plan plan =
      Parse(With(R"("parallel": {"tp": 16384, "pp": 16384, "cp": 16384, "dp": 1048576})"));
  EXPECT_EQ(plan.parallel.gpus(), int64_t{1} << 62);
}

}  // namespace
}  // namespace moecast
