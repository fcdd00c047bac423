#include "scenarios/calibrate/era.h"

#include <gtest/gtest.h>

#include <cmath>

#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

const std::string kHeader =
    "tp,num_tokens,n_head,n_kv_head,n_embd,n_expanded_embd,attn_pre_proj_us,attn_post_proj_us,mlp_"
    "up_proj_us,"
    "mlp_down_proj_us\n";

// A row of 4096 tokens whose products take `slower` times what the calibration says.
std::string RowOf(const Calibration& c, int64_t m, double slower) {
  const auto us = [&](int64_t n, int64_t k) {
    return "," + std::to_string(c.Gemm({m, n, k}).time.value * 1e6 * slower);
  };
  // 64 heads and 8 pairs of key and value heads of 128: 10240 columns; gate and up: 2 * 28672.
  return "1," + std::to_string(m) + ",64,8,8192,28672" + us(10240, 8192) + us(8192, 8192) +
         us(57344, 8192) + us(8192, 28672) + "\n";
}

TEST(GemmEraTest, TheFactorIsTheMedianOfTheLongRowsOfLlama) {
  const Calibration now = LoadCalibration(LoadDevice("h100"), "2025");
  // 1.1 of four products, 1.2 of four, 1.3 of four: the median is 1.2; short rows and other models
  // do not count.
  const std::string rows = kHeader + RowOf(now, 128, 5) + RowOf(now, 1024, 1.1) +
                           RowOf(now, 2048, 1.2) + RowOf(now, 4096, 1.3);
  const std::vector<Measurements> profiles = {{rows, "Llama_ops.csv"},
                                              {kHeader + RowOf(now, 4096, 9), "Qwen_ops.csv"}};
  CalibrationFile older;
  FitGemmEra(profiles, now, older);
  ASSERT_EQ(older.reasoned.size(), 1u);
  EXPECT_EQ(older.reasoned[0].name, "gemm_bf16");
  EXPECT_NEAR(older.reasoned[0].value, 1.2, 1e-3);
  // The 80th percentile of |ln(x / 1.2)|, ln(1.2 / 1.1), over 1.28155.
  EXPECT_NEAR(older.reasoned[0].sigma_own, std::log(1.2 / 1.1) / 1.28155, 1e-3);
}

TEST(GemmEraTest, WithoutAProfileThereIsNoFactorAndABrokenOneIsNamed) {
  const Calibration now = LoadCalibration(LoadDevice("h100"), "2025");
  CalibrationFile older;
  FitGemmEra({}, now, older);
  EXPECT_TRUE(older.reasoned.empty());
  const std::vector<Measurements> broken = {
      {kHeader + "1,4096,64,8,8192,28672,fast,1,1,1\n", "Llama_ops.csv"}};
  EXPECT_NE(MessageOf([&] {
              FitGemmEra(broken, now, older);
            }).find("line 2, column \"attn_pre_proj_us\""),
            std::string::npos);
}

}  // namespace
}  // namespace moecast
