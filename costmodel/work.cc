#include "costmodel/work.h"

#include <algorithm>

#include "base/check.h"
#include "costmodel/causal_pairs.h"

namespace moecast {
namespace {

void Add(const Prompt& p, Work& work) {
  MOECAST_CHECK(1 <= p.tokens && p.tokens <= p.context);
  ++work.sequences;
  work.tokens += p.tokens;
  work.query_key_pairs += CausalPairs(p.tokens, p.context);
  work.context_sum += p.context;
}

}  // namespace

Work MicroBatchOf(int64_t sequences, int64_t length, const ExpertLoad& load) {
  return {.pass = Pass::kForward,
          .sequences = sequences,
          .tokens = sequences * length,
          .query_key_pairs = sequences * CausalPairs(length, length),
          .context_sum = sequences * length,
          .load = load};
}

Work Together(std::span<const Work> parts) {
  Work all = parts.front();
  for (const Work& part : parts.subspan(1)) {
    all.sequences += part.sequences;
    all.tokens += part.tokens;
    all.query_key_pairs += part.query_key_pairs;
    all.context_sum += part.context_sum;
  }
  return all;
}

Work PrefillOf(std::span<const Prompt> prompts, const ExpertLoad& load) {
  Work work{.pass = Pass::kPrefill, .load = load};
  for (const Prompt& p : prompts) Add(p, work);
  return work;
}

Work DecodeOf(std::span<const int64_t> contexts, const ExpertLoad& load) {
  Work work{.pass = Pass::kDecode, .load = load};
  for (const int64_t context : contexts) Add({.tokens = 1, .context = context}, work);
  return work;
}

Work DecodeOf(int64_t sequences, int64_t context_sum, int64_t queries) {
  MOECAST_CHECK(sequences > 0 && context_sum > 0 && queries > 0);
  Work work{.pass = Pass::kDecode, .sequences = sequences, .tokens = sequences * queries};
  work.context_sum = std::max(context_sum, work.tokens);
  work.query_key_pairs = queries * work.context_sum - sequences * queries * (queries - 1) / 2;
  return work;
}

}  // namespace moecast
