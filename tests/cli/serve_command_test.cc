// `moecast serve` as a user runs it.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "tests/cli/run_command.h"

namespace moecast {
namespace {

// For all tokens at the prices of a million.
double ChargedUsd(const Json& json) {
  const auto of = [&](const char* key) { return json[key].get<double>(); };
  return of("duration_s") * 1e-6 *
         (of("cost_usd_per_million_input_tokens") * of("input_throughput") +
          of("cost_usd_per_million_output_tokens") * of("output_throughput"));
}

constexpr char kServe[] = "serve deepseek-v2-azure-conv-like ";

TEST(ServeCommandTest, AnswersByTheNamesOfVllm) {
  const Json json =
      RunForJson(std::string(kServe) + "--set load/requests=300 --print blocks,costs");
  for (const char* key : {"duration_s",
                          "completed",
                          "rejected",
                          "stable",
                          "limiting_resource",
                          "request_throughput",
                          "input_throughput",
                          "output_throughput",
                          "total_token_throughput",
                          "mean_ttft_ms",
                          "p99_itl_ms",
                          "median_tpot_ms",
                          "p90_e2el_ms",
                          "request_goodput",
                          "output_throughput_per_gpu",
                          "cost_usd_per_million_input_tokens",
                          "cost_usd_per_million_output_tokens",
                          "kv",
                          "preemptions",
                          "iterations",
                          "breakdown",
                          "series",
                          "model_interval",
                          "deployment",
                          "blocks",
                          "costs"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["completed"], 300);
  EXPECT_EQ(json["source"].get<std::string>().rfind("arXiv 2405.04434", 0), 0u);
  EXPECT_EQ(json["kv"]["bytes_per_token"], 25920);  // 60 layers of 576 elements of 6 bits
  // GPUs are paid for while the load lasts: 8 at $2.
  const double paid = json["duration_s"].get<double>() / 3600 * 8 * 2;
  const double charged = ChargedUsd(json);
  EXPECT_NEAR(charged / paid, 1, 1e-6);
  double shares = 0;
  for (const Json& row : json["breakdown"]) shares += row["fraction"].get<double>();
  EXPECT_NEAR(shares, 1, 1e-6);
}

TEST(ServeCommandTest, WhatIsFoundIsWhatIsAnswered) {
  const Json json =
      RunForJson(std::string(kServe) + "--set load/requests=2000 --find rate --slo p99_tpot_ms=60");
  EXPECT_TRUE(json["find"]["found"].get<bool>());
  EXPECT_TRUE(json["meets_slo"].get<bool>());
  EXPECT_LE(json["p99_tpot_ms"].get<double>(), 60);
  // The next load that was tried and not held is at most 1% more.
  double held = 0, not_held = 1e9;
  for (const Json& t : json["find"]["trials"]) {
    const double rate = t["request_rate"].get<double>();
    if (t["holds"].get<bool>())
      held = std::max(held, rate);
    else
      not_held = std::min(not_held, rate);
  }
  for (const Json& t : json["find"]["trials"]) {
    if (t["request_rate"].get<double>() == held) {
      EXPECT_EQ(t["p99_tpot_ms"], json["p99_tpot_ms"]);
    }
  }
  EXPECT_GT(not_held, held);
  EXPECT_LE(not_held, held * 1.0101);
}

TEST(ServeCommandTest, AModelThatDoesNotFitIsAnAnswer) {
  const Json json = RunForJson(std::string(kServe) +
                               "--set load/requests=10 --set serving/weights=bf16 --set "
                               "'serving/parallel={\"tp\":1,\"dp\":4,\"ep\":4}' --find rate "
                               "--timeline " +
                               testing::TempDir() + "does_not_fit.json");
  EXPECT_FALSE(json["fits"].get<bool>());
  // What was asked for is written, with nothing in it.
  EXPECT_EQ(ReadFile(testing::TempDir() + "does_not_fit.json").find("\"ph\":\"B\""),
            std::string::npos);
  EXPECT_GT(json["memory"]["over_bytes"].get<double>(), 0);
  EXPECT_FALSE(json.contains("output_throughput"));
  // What is said to fit does, and nothing on half as many GPUs did.
  ASSERT_FALSE(json["layouts_that_fit"].empty());
  for (const Json& layout : json["layouts_that_fit"]) {
    EXPECT_EQ(layout["tp"].get<int>() * layout["dp"].get<int>(), 8);
    const Json fits = RunForJson(std::string(kServe) +
                                 "--set load/requests=10 --set serving/weights=bf16 --set "
                                 "'serving/parallel=" +
                                 layout.dump() + "'");
    EXPECT_TRUE(fits["fits"].get<bool>()) << layout.dump();
  }
}

// Both pools answer, and what the prefix cache had is counted where prompts are computed.
TEST(ServeCommandTest, PrefillApartIsAnswered) {
  const Json json = RunForJson(
      "serve deepseek-v2-disaggregated --set load/requests=300 --set "
      "load/traffic=mooncake-conversation-like --set load/speedup=1 --set "
      "serving/router=prefix-affinity --print blocks");
  EXPECT_EQ(json["gpus"], 32);
  EXPECT_GT(json["prefill"]["prefix_cache"]["cached_tokens"].get<double>(), 0);
  EXPECT_EQ(json["prefix_cache"]["prompt_tokens"], 0);
  EXPECT_GT(json["prefill"]["iterations"].get<double>(), 0);
  EXPECT_GT(json["prefill"]["blocks"].size(), 2u);
  EXPECT_EQ(json["completed"], 300);
}

// What was swapped is in the answer, in the text and in where the time goes, and only then.
TEST(ServeCommandTest, SwappingIsAnswered) {
  const std::string short_of_cache =
      "serve deepseek-v2-lite-azure-conv-like --set load/requests=600 --set load/speedup=2 --set "
      "serving/replicas=1 --set serving/engine/gpu_memory_utilization=0.39";
  const auto row = [](const Json& json) {
    for (const Json& of : json["breakdown"])
      if (of["name"] == "swapping the cache") return of["seconds"].get<double>();
    return 0.0;
  };
  const Json again = RunForJson(short_of_cache);
  EXPECT_GT(again["preemptions"].get<int>(), 0);
  EXPECT_EQ(again["swapping"]["sequences"], 0);
  EXPECT_EQ(row(again), 0);
  const std::string swaps = short_of_cache + " --set serving/engine/preemption_mode=swap";
  const Json json = RunForJson(swaps);
  EXPECT_GT(json["swapping"]["sequences"].get<int>(), 0);
  EXPECT_GT(json["swapping"]["tokens"].get<int>(), json["swapping"]["sequences"].get<int>());
  EXPECT_GT(row(json), 0);
  EXPECT_EQ(row(json), json["swapping"]["seconds"].get<double>());
  const std::string text = RunCommand(swaps).output;
  EXPECT_NE(text.find("tokens copied to host memory and back in"), std::string::npos) << text;
  EXPECT_NE(text.find("tokens a dp rank, swapping"), std::string::npos) << text;
}

// A load of nothing but what is rejected takes no time: rates are none, and no figure is undefined.
TEST(ServeCommandTest, ALoadThatIsRejectedIsAnAnswer) {
  const Json json = RunForJson(
      "serve deepseek-v2-serve-h800 --set load/description/requests=1 --set "
      "load/description/input/value=200000");
  EXPECT_EQ(json["rejected_too_long"], 1);
  EXPECT_EQ(json["duration_s"], 0);
  EXPECT_EQ(json["output_throughput_per_gpu"], 0);
}

TEST(ServeCommandTest, ReplicasThatComeAndGoArePaidForWhileTheyAreThere) {
  const Json json = RunForJson(
      "serve llama-3.1-70b-azure-conv-like --set load/requests=500 --set load/speedup=3 --set "
      "serving/autoscaling/startup=20s --set serving/autoscaling/target_requests=8");
  const Json& counts = json["replicas"];
  ASSERT_GT(counts.size(), 1u);
  EXPECT_EQ(counts[0]["replicas"], 1);
  const double seconds = json["duration_s"].get<double>();
  const double mean_gpus = json["mean_gpus"].get<double>();
  EXPECT_GT(mean_gpus, 4);
  EXPECT_LT(mean_gpus, 8);
  EXPECT_NEAR(json["output_throughput_per_gpu"].get<double>() * mean_gpus,
              json["output_throughput"].get<double>(), 1e-3);
  const double charged = ChargedUsd(json);
  EXPECT_NEAR(charged / (seconds / 3600 * mean_gpus * 2), 1, 1e-6);
}

// Beside a prefill pool both scale, and what both cost is what their GPUs cost while they are
// there.
TEST(ServeCommandTest, PoolsFailAndScale) {
  const std::string command =
      "serve deepseek-v2-disaggregated --set load/requests=1500 --set "
      "serving/autoscaling/startup=2s --set serving/autoscaling/target_requests=100 --set "
      "serving/prefill/autoscaling/startup=2s --set serving/prefill/autoscaling/target_requests=4 "
      "--set serving/failures='[{\"pool\": \"prefill\", \"replica\": 0, \"at\": \"5s\", "
      "\"recovery\": \"5s\"}, {\"replica\": 0, \"at\": \"20s\", \"recovery\": \"5s\"}]'";
  const Json json = RunForJson(command);
  EXPECT_EQ(json["completed"], 1500);
  EXPECT_GT(json["run_again"].get<int>(), 0);
  EXPECT_EQ(json["replicas"][0]["replicas"], 1);
  EXPECT_EQ(json["prefill"]["replicas"][0]["replicas"], 1);
  const double seconds = json["duration_s"].get<double>();
  const double mean_gpus = json["mean_gpus"].get<double>();
  EXPECT_GT(mean_gpus, 16);
  EXPECT_LT(mean_gpus, 32);
  const double charged = ChargedUsd(json);
  EXPECT_NEAR(charged / (seconds / 3600 * mean_gpus * 2), 1, 1e-6);
  const std::string text = RunCommand(command).output;
  EXPECT_NE(text.find("replicas of the prefill pool, 1 to "), std::string::npos) << text;
  EXPECT_NE(text.find("replicas of the decode pool, "), std::string::npos) << text;
}

TEST(ServeCommandTest, TheTimelineIsATraceOfTheRunThatIsReported) {
  const std::string path = testing::TempDir() + "serve_timeline.json";
  const Json json = RunForJson(
      "serve llama-3.1-70b-azure-conv-like --set load/requests=100 --timeline " + path +
      " --set serving/failures='[{\"replica\": 0, \"at\": \"5s\", \"recovery\": \"9s\"}]'");
  EXPECT_GT(json["run_again"].get<int>(), 0);
  int iterations = 0, requests = 0;
  const auto trace = ParseJson(ReadFile(path), path);
  for (const Json& event : trace->root["traceEvents"]) {
    if (event["ph"] != "B") continue;
    const std::string name = event["name"].get<std::string>();
    iterations += event["pid"].get<int>() < 2 && name != "engine overhead";
    requests += name.starts_with("request ");
  }
  EXPECT_EQ(requests, 100);
  // The one that the failure ended counts for nothing.
  EXPECT_EQ(iterations, json["iterations"].get<int>() + 1);
}

// Each fault of the user's with what was wrong and what would be right.
TEST(ServeCommandTest, FaultsNameTheFieldAndTheNearestName) {
  struct Case {
    const char* arguments;
    const char* says;
  };
  for (const Case& c : {
           Case{"serve deepseek-v2-azur-conv-like", "did you mean \"deepseek-v2-azure-conv-like\""},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/polcy=mixed", "policy"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/policy=mixd",
                "/serving/engine/policy"},
           Case{"serve deepseek-v2-azure-conv-like --set load/traffic=azure-conv", "/load/traffic"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/replicas=2", "the cluster h800-8"},
           Case{"serve deepseek-v2-azure-conv-like --slo p99_tftt_ms=20",
                "did you mean \"p99_ttft_ms\""},
           Case{"serve deepseek-v2-azure-conv-like --slo p99_ttft_ms=-1", "milliseconds"},
           Case{"serve deepseek-v2-azure-conv-like --find rates", "did you mean \"rate\""},
           Case{"serve deepseek-v2-azure-conv-like --set load/concurrency=4 --find rate",
                "closed loop"},
           Case{"serve deepseek-v2-serve-h800 --set load/concurrency=null --find rate",
                "closed loop"},
           Case{"serve deepseek-v2-serve-h800 --decode-at -1", "--decode-at"},
           Case{"serve deepseek-v2-serve-h800 --set load/traffic=azure-conv-like",
                "either traffic or a description"},
           Case{"serve deepseek-v2-serve-h800 --set load/description/arrivals/rate=-1",
                "/load/description/arrivals/rate"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/parallel/ep=3", "/parallel/ep"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/router=prefix-afinity",
                "did you mean \"prefix-affinity\""},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/parallel/ep=3",
                "/serving/prefill/parallel/ep"},
           Case{"serve deepseek-v2-disaggregated --set "
                "'serving/engine/cache_tiers=[{\"capacity\":\"1GiB\"}]'",
                "/prefill/engine/cache_tiers"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/preemption_mode=swp",
                "/serving/engine/preemption_mode: found \"swp\", expected one of recompute, swap "
                "(did "
                "you mean \"swap\"?)"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/swap_space=1GiB",
                "/serving/engine/swap_space: found \"1GiB\", expected none without preemption_mode "
                "swap"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/preemption_mode=swap --set "
                "serving/engine/swap_space=1KiB",
                "/serving/engine/swap_space: found \"1KiB\", expected at least"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/preemption_mode=swap --set "
                "serving/engine/policy=reserving",
                "/serving/engine/preemption_mode: found \"swap\", expected recompute where the "
                "policy is reserving"},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/engine/preemption_mode=swap",
                "/serving/prefill/engine/preemption_mode: found \"swap\", expected recompute"},
           Case{"serve deepseek-v2-disaggregated --find layout", "without a prefill pool"},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/replicas=7",
                "at most 1 of 8 GPUs: the cluster h800-64 has 64, of which 56 prefill"},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/replicas=8",
                "/serving/prefill/replicas: found 8, expected at most 7 of 8 GPUs: the cluster "
                "h800-64 has 64, of which 8 a replica that decodes takes"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/preset=vlm",
                "/serving/engine/preset: found \"vlm\", expected the path of a file or one of "
                "sglang, trtllm, vllm (did you mean \"vllm\"?)"},
           Case{"serve llama-3.1-70b-azure-conv-like --set serving/failures='[{\"replica\": 2, "
                "\"at\": \"1s\", \"recovery\": \"1s\"}]'",
                "/serving/failures/0/replica: found 2, expected one of 0 to 1"},
           Case{"serve deepseek-v2-azure-conv-like --set serving/engine/num_speculative_tokens=1",
                "/serving/engine/num_speculative_tokens: found 1, expected 0 for a model without "
                "MTP modules"},
           Case{"serve deepseek-v2-disaggregated --set model=deepseek-v3 --set "
                "serving/engine/num_speculative_tokens=2",
                "prefill/engine/num_speculative_tokens at least 1, as where replicas decode"},
           Case{"serve llama-3.1-70b-azure-conv-like --set serving/autoscaling/startup=60s",
                "/serving/autoscaling: found an object, expected a value for \"target_requests\""},
           Case{"serve llama-3.1-70b-azure-conv-like --set serving/autoscaling/startup=60s --set "
                "serving/autoscaling/target_requests=20 --set serving/autoscaling/min_replicas=3",
                "/serving/autoscaling/min_replicas: found 3, expected at most 2"},
           Case{"serve llama-3.1-70b-azure-conv-like --set serving/failures='[{\"pool\": "
                "\"prefill\", \"replica\": 0, \"at\": \"1s\", \"recovery\": \"1s\"}]'",
                "/serving/failures/0/pool: found \"prefill\", expected decode: there is no prefill "
                "pool"},
           Case{"serve deepseek-v2-disaggregated --set serving/failures='[{\"pool\": \"prefil\", "
                "\"replica\": 0, \"at\": \"1s\", \"recovery\": \"1s\"}]'",
                "/serving/failures/0/pool: found \"prefil\", expected one of decode, prefill (did "
                "you mean \"prefill\"?)"},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/replicas=3 --set "
                "serving/failures='[{\"pool\": \"prefill\", \"replica\": 3, \"at\": \"1s\", "
                "\"recovery\": \"1s\"}]'",
                "/serving/failures/0/replica: found 3, expected one of 0 to 2"},
           Case{"serve deepseek-v2-disaggregated --set serving/prefill/autoscaling/startup=60s "
                "--set serving/prefill/autoscaling/target_requests=20 --set "
                "serving/prefill/autoscaling/min_replicas=3",
                "/serving/prefill/autoscaling/min_replicas: found 3, expected at most 2"},
           Case{"serve deepseek-v2-mooncake-conversation-like --set serving/engine/block_size=48",
                "a divisor of 512"},
       }) {
    const Ran ran = RunCommand(c.arguments);
    EXPECT_EQ(ran.exit_code, 2) << c.arguments;
    EXPECT_NE(ran.output.find(c.says), std::string::npos) << c.arguments << "\n" << ran.output;
  }
}

// What is not as an engine comes is in the one line; a printed iteration says whether it goes in
// halves, and of which stage a block is.
TEST(ServeCommandTest, NamesTheWholeDeployment) {
  const std::string text =
      RunCommand(
          std::string(kServe) +
          "--set load/requests=400 --set load/speedup=200 --set serving/routing/tokens={} "
          "--set serving/engine/enable_eplb=true --set "
          "serving/engine/num_redundant_experts=8 --set serving/engine/enable_dbo=true --set "
          "serving/engine/dbo_prefill_token_threshold=2 --set "
          "serving/engine/dbo_decode_token_threshold=2 --set "
          "serving/engine/all_to_all=normal --set serving/engine/enforce_eager=true --print "
          "blocks")
          .output;
  EXPECT_NE(text.find("tokens a dp rank, dual batch overlap, EPLB, 8 redundant experts, normal "
                      "all-to-all, no CUDA graphs\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("tokens; layers with experts in halves\n"), std::string::npos) << text;
  const std::string staged = RunCommand(
                                 "serve llama-3.1-70b-azure-conv-like --set load/requests=20 --set "
                                 "serving/parallel/pp=2 --set serving/replicas=1 --print blocks")
                                 .output;
  EXPECT_NE(staged.find("1 replica of tp 4, dp 1, ep 1, pp 2;"), std::string::npos) << staged;
  EXPECT_NE(staged.find("\n40 x dense-layer of stage 1: "), std::string::npos) << staged;
}

}  // namespace
}  // namespace moecast
