// `moecast op` as a user runs it.
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

Json OpJson(const std::string& arguments) {
  return RunForJson("op " + arguments);
}

TEST(OpCommandTest, EveryKindAnswersWithTheKeysOfTheContract) {
  const char* const kinds[] = {
      "gemm --m 4096 --n 7168 --k 2048",
      "gemm --m 4096 --n 7168 --k 2048 --dtype fp8_block --pass wgrad",
      "grouped-gemm --groups 8 --rows 32768 --n 4096 --k 7168 --dtype fp8_block",
      "attention --phase train-forward --heads 128 --qk-dim 192 --v-dim 128 --query 4096",
      "attention --phase train-backward --heads 64 --kv-heads 8 --query 4096 --stack 2024h1",
      "attention --phase prefill --heads 32 --kv-heads 8 --query 2048",
      "attention --phase decode --heads 32 --kv-heads 8 --batch 16 --context 8192",
      "attention --phase prefill --heads 16 --qk-dim 96 --form mla --query 4096",
      "grouped-gemm --groups 16 --rows 1024 --n 512 --k 128 --batched",
      "mla-decode --heads 128 --batch 32 --context 8192",
      "mla-decode --heads 128 --batch 32 --context 8192 --qk-dim 288 --v-dim 256",
      "moe --tokens 4096 --hidden 7168 --inter 2048 --experts 256 --topk 8 --ep 8 --dtype "
      "fp8_block",
      "elementwise --kind rmsnorm --bytes 64MiB",
  };
  for (const char* kind : kinds) {
    for (const char* device : {"h800", "h100", "h200"}) {
      const Json json = OpJson(std::string(kind) + " --device " + device);
      for (const char* key :
           {"time_us", "p10_us", "p90_us", "tflops", "gbps", "bound", "source", "extrapolated"})
        EXPECT_TRUE(json.contains(key)) << kind << ": " << key;
      EXPECT_LT(json["p10_us"], json["time_us"]) << kind;
      EXPECT_LT(json["time_us"], json["p90_us"]) << kind;
    }
  }
}

TEST(OpCommandTest, RatesAreFlopsAndBytesOverTheTime) {
  // 2 * 4096 * 7168 * 2048 flops; operands 2 (4096 * 2048 + 7168 * 2048 + 4096 * 7168) bytes.
  const Json json = OpJson("gemm --m 4096 --n 7168 --k 2048");
  const double us = json["time_us"].get<double>();
  EXPECT_NEAR(json["tflops"].get<double>(), 2.0 * 4096 * 7168 * 2048 / us * 1e-6, 1e-4);
  EXPECT_NEAR(json["gbps"].get<double>(),
              2.0 * (4096 * 2048 + 7168 * 2048 + 4096 * 7168) / us * 1e-3, 1e-4);
}

TEST(OpCommandTest, MemoryBoundWorkIsFasterWithTheMemoryOfAnH200) {
  const std::string decode = "mla-decode --heads 16 --batch 128 --context 8192 --device ";
  const double h100 = OpJson(decode + "h100")["time_us"].get<double>();
  const double h200 = OpJson(decode + "h200")["time_us"].get<double>();
  EXPECT_LT(h200, h100);
  EXPECT_GT(h200, h100 * 3350 / 4800 * 0.99);
}

TEST(OpCommandTest, WrongInputsAreOneErrorAndExitCodeTwo) {
  struct Case {
    const char *arguments, *says;
  };
  const Case cases[] = {
      {"", "no kind of operator"},
      {"gem --m 1", "did you mean \"gemm\""},
      {"gemm --m 0 --n 8 --k 8", "--m"},
      {"gemm --m 8 --n 8", "--k is required"},
      {"gemm --m 8 --n 8 --k 99999999999999", "--k"},
      {"gemm --m eight --n 8 --k 8", "--m"},
      {"gemm --m 8 --n 8 --k 8 --dtype bf61", "did you mean \"bf16\""},
      {"gemm --m 8 --n 8 --k 8 --pass backward", "--pass"},
      {"gemm --m 8 --n 8 --k 8 --device h80", "did you mean"},
      {"gemm --m 8 --n 8 --k 8 --stack 2023", "2024h1"},
      {"gemm --m 8 --n 8 --k 8 --sms 133", "--sms"},
      {"attention --heads 7 --kv-heads 2 --query 8", "--kv-heads"},
      {"attention --heads 8", "--query"},
      {"attention --heads 8 --query 16 --context 8", "--context"},
      {"mla-decode --heads 8 --context 8 --kv-bits 0", "--kv-bits"},
      {"mla-decode --heads 8 --context 8 --qk-dim 64 --v-dim 65", "--v-dim"},
      {"attention --heads 8 --query 8 --form mlo", "did you mean \"mla\""},
      {"grouped-gemm --groups 16 --rows 100 --n 512 --k 128 --batched",
       "a multiple of --groups 16"},
      {"moe --tokens 8 --hidden 8 --inter 8 --experts 8 --topk 9", "--topk"},
      {"moe --tokens 8 --hidden 8 --inter 8 --experts 8 --topk 2 --ep 3", "--ep"},
      {"elementwise --kind rmsnorm --bytes 64", "unit"},
      {"elementwise --kind rmsnom --bytes 64MiB", "did you mean \"rmsnorm\""},
  };
  for (const Case& c : cases) {
    const Ran ran = RunCommand(std::string("op ") + c.arguments);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments << "\n" << ran.output;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << "\n" << ran.output;
  }
}

}  // namespace
}  // namespace moecast
