// Training plans at random, valid and not: what the properties of a step are tried on.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"

namespace moecast {

struct RandomPlan {
  std::string scenario;
  std::vector<std::string> sets;  // arguments of --set

  // As one would type it.
  std::string Text() const {
    std::string text = "moecast train " + scenario;
    for (const std::string& set : sets) text += " --set '" + set + "'";
    return text;
  }
};

inline RandomPlan AnyPlan(Random& rng) {
  const auto pick = [&rng](std::initializer_list<const char*> values) {
    return std::string(*(values.begin() + rng.Below(values.size())));
  };
  std::string scenario = pick({"deepseek-v2-pretrain", "deepseek-67b-pretrain",
                               "deepseek-v2-lite-pretrain", "deepseek-v3-pretrain"});
  return {std::move(scenario),
          {
              "unknown={}",
              "training/parallel/tp=" + pick({"1", "1", "2", "4", "8"}),
              "training/parallel/pp=" + pick({"1", "2", "4", "16", "27"}),
              "training/parallel/vpp=" + pick({"1", "1", "2", "3"}),
              "training/parallel/ep=" + pick({"1", "2", "8", "16"}),
              "training/parallel/cp=" + pick({"1", "1", "2", "4"}),
              "training/parallel/dp=" + pick({"1", "8", "16", "64"}),
              "training/parallel/zero=" + pick({"0", "1", "2", "3"}),
              "training/parallel/sequence=" + pick({"true", "false"}),
              "training/micro_batch=" + pick({"1", "1", "2", "3"}),
              "training/phases/0/global_batch=" + pick({"64", "768", "1000"}),
              "training/phases/0/sequence_length=" + pick({"512", "4096", "4097"}),
              "training/schedule=" + pick({"1f1b", "interleaved", "zb-h1", "zb-1p", "v-half",
                                           "dualpipe", "dualpipev"}),
              "training/weight_delay=" + pick({"null", "0", "2"}),
              "training/recompute=" + pick({"[]", "[\"layer\"]", "[\"rmsnorm\",\"swiglu\"]",
                                            "[\"mla_up\"]", "[\"permute\"]"}),
              "training/precision/gemm=" + pick({"bf16", "fp8", "fp8_block"}),
              "training/overlap/tp=" + pick({"true", "false"}),
              "training/overlap/grad_reduce=" + pick({"true", "false"}),
              "training/overlap/param_gather=" + pick({"true", "false"}),
              "training/overlap/shared_experts=" + pick({"true", "false"}),
              "training/routing/device_cv=" + pick({"0", "0.3"}),
              "training/optimizer/grad_clip=" + pick({"barrier", "post-validation", "none"}),
          }};
}

}  // namespace moecast
