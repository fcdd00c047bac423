// A million tokens through the gates of DeepSeek-V2 (160 experts, 3 of 8 groups, 6 experts) and -V3
// (256 experts, 4 of 8 groups by two best, bias, 8 experts), one core. Counted: from logits, made
// beforehand, to affinities as floats, groups, experts and their affinities in token order. Drawing
// the logits is apart. 2^11 tokens of logits, which stay in the cache as they do where they are
// drawn block by block, are gone through 2^9 times.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/random.h"
#include "costmodel/gating/gate.h"

namespace moecast {
namespace {

constexpr Moe kV2{.experts = 160, .top_k = 6, .groups = 8, .top_groups = 3};
constexpr Moe kV2Plain{.experts = 160, .top_k = 6};
constexpr Moe kV3{.experts = 256,
                  .top_k = 8,
                  .groups = 8,
                  .top_groups = 4,
                  .scoring = &kSigmoidScoring,
                  .normalize_top_k = true,
                  .method = &kNoAuxTopK};
constexpr int kTokens = 1 << 11, kTimes = 1 << 9;

void MillionTokens(benchmark::State& state, const Moe& moe, bool affinities_too) {
  const Gate gate = GateOf(moe);
  Random random(1);
  std::vector<float> logits(static_cast<size_t>(kTokens) * moe.experts), bias;
  for (float& z : logits) z = static_cast<float>(4 * random.Uniform() - 2);
  if (moe.method->has_bias)
    for (int i = 0; i < moe.experts; ++i)
      bias.push_back(static_cast<float>(0.1 * random.Uniform()));
  constexpr int kBlock =
      256;  // tokens whose affinities stay in the cache until they are chosen from
  std::vector<float> block(static_cast<size_t>(kBlock) * moe.experts);
  for (auto _ : state) {
    for (int time = 0; time < kTimes; ++time) {
      Choices choices;
      for (int t = 0; t < kTokens; t += kBlock) {
        const auto given =
            std::span(logits).subspan(static_cast<size_t>(t) * moe.experts, block.size());
        if (affinities_too) ToAffinities(*gate.scoring, gate.experts, given, block);
        Choose(gate, affinities_too ? std::span<const float>(block) : given, bias, choices);
      }
      benchmark::DoNotOptimize(choices.expert.data());
    }
  }
  state.counters["tokens"] = kTokens * kTimes;
}
BENCHMARK_CAPTURE(MillionTokens, V2, kV2, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(MillionTokens, V2ChoiceAlone, kV2, false)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(MillionTokens, V2WithoutGroups, kV2Plain, true)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(MillionTokens, V3, kV3, true)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace moecast
