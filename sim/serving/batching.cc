#include "sim/serving/batching.h"

namespace moecast {
namespace {

constexpr BatchingPolicy kPolicies[] = {
    {"mixed",
     "decodes first, then prompts in chunks of what the token budget leaves, in one iteration "
     "(Sarathi-Serve, arXiv 2403.02310; vLLM's V1 engine)",
     true, true},
    {"prefill-first",
     "an iteration takes prompts while any can be started, else it decodes (Orca; vLLM's V0 engine "
     "and SGLang as they come)",
     false, true},
    {"decode-first",
     "prompts are started only when no sequence decodes: a batch runs to its end (static batching, "
     "FasterTransformer)",
     false, false},
    {"reserving",
     "mixed, of sequences whose last tokens have their place in the cache kept from the first on "
     "(TensorRT-LLM as it comes: capacity scheduler policy GUARANTEED_NO_EVICT)",
     true, true, true},
};

}  // namespace

std::span<const BatchingPolicy> BatchingPolicies() {
  return kPolicies;
}

const BatchingPolicy* FindBatchingPolicy(std::string_view name) {
  for (const BatchingPolicy& policy : kPolicies)
    if (policy.name == name) return &policy;
  return nullptr;
}

}  // namespace moecast
