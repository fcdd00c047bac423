// Batching policies: which sequences an iteration takes. A row each; what they share, budget,
// admission and preemption, is the Scheduler's.
#pragma once

#include <span>
#include <string_view>

namespace moecast {

struct BatchingPolicy {
  std::string_view name;
  std::string_view help;
  // Whether prompts and decodes go into one iteration; else an iteration is one or the other.
  bool mixes;
  // Whether prompts are started while sequences decode; else only when all of these have ended.
  bool starts_while_decoding;
  // Whether a sequence is admitted only where the cache has room for it and all running ones to
  // their last tokens, so that none is ever preempted.
  bool reserves = false;
};

std::span<const BatchingPolicy> BatchingPolicies();
// Null where there is none of that name.
const BatchingPolicy* FindBatchingPolicy(std::string_view name);

}  // namespace moecast
