// What a rank runs a block for: the tokens of a micro-batch of training or of an iteration of
// serving, and what their queries attend to. Sums over the sequences, so that works that cost the
// same are equal: a Work is the key under which its ops and their time are kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

#include "base/enum_names.h"
#include "costmodel/expert_load.h"

namespace moecast {

// A pass of a training step over a block, or what an iteration of serving does: prefill takes in
// prompts or chunks of them, decode makes a token of each sequence or verifies its drafts.
enum class Pass : uint8_t { kForward, kBackward, kWeight, kPrefill, kDecode };
template <>
struct EnumNames<Pass> {
  static constexpr EnumName<Pass> kNames[] = {{Pass::kForward, "forward"},
                                              {Pass::kBackward, "backward"},
                                              {Pass::kWeight, "weight"},
                                              {Pass::kPrefill, "prefill"},
                                              {Pass::kDecode, "decode"}};
};
inline constexpr int kPasses = 3;  // of a training step, which come first

constexpr bool IsTraining(Pass pass) {
  return static_cast<int>(pass) < kPasses;
}

// Of a whole model replica: context-parallel ranks share the tokens (RankTokensOf,
// costmodel/shard.h).
struct Work {
  Pass pass = Pass::kForward;
  int64_t sequences = 0;
  int64_t tokens = 0;  // new ones of all sequences: those that go through the layers
  int64_t query_key_pairs =
      0;  // that their attention looks at, summed over the sequences (CausalPairs)
  int64_t context_sum =
      0;              // tokens of all sequences at the end, those in the cache and the new ones
  ExpertLoad load{};  // of the ranks that share the experts

  bool operator==(const Work&) const = default;
};
inline auto MembersOf(const Work& work) {
  const auto& [pass, sequences, tokens, query_key_pairs, context_sum, load] = work;
  return std::tie(pass, sequences, tokens, query_key_pairs, context_sum, load);
}

// A training micro-batch: `sequences` of `length` tokens each, which attend to themselves. One
// value for its three passes.
Work MicroBatchOf(int64_t sequences, int64_t length, const ExpertLoad& load = {});

// One sequence of a prefill: `tokens` new ones, behind which it has `context` in all.
struct Prompt {
  int64_t tokens = 0;
  int64_t context = 0;
};
// REQUIRES: 1 <= tokens <= context of each.
Work PrefillOf(std::span<const Prompt> prompts, const ExpertLoad& load = {});

// One new token of each sequence, behind which it has `contexts[i]` in all. REQUIRES: each is at
// least 1.
Work DecodeOf(std::span<const int64_t> contexts, const ExpertLoad& load = {});
// `queries` new tokens of each of so many sequences, more than one where drafts are verified, with
// `context_sum` tokens in all. Contexts count as at least the queries. REQUIRES: all are positive.
Work DecodeOf(int64_t sequences, int64_t context_sum, int64_t queries);

// All that goes through a layer's matrices: the parts' sums, with the first part's pass and load.
// REQUIRES: a part.
Work Together(std::span<const Work> parts);

}  // namespace moecast
