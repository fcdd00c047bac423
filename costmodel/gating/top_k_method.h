// How a gate limits which experts it chooses the top k of: a row each, by the name that config.json
// gives it (topk_method).
#pragma once

#include <span>
#include <string_view>

namespace moecast {

struct TopKMethod {
  std::string_view name;
  std::string_view help;
  bool reads_groups;   // the config says how many groups there are and how many are taken
  bool has_bias;       // a bias an expert, which takes part in choosing only (arXiv 2408.15664)
  int scored_experts;  // experts of a group that its score is made of
  // The score of each of `groups` groups of `size` experts, whose scores follow each other.
  void (*group_scores)(const float* scores, int groups, int size, float* out);
};
extern const TopKMethod kGreedyTopK;        // among all experts
extern const TopKMethod kGroupLimitedTopK;  // DeepSeek-V2
extern const TopKMethod kNoAuxTopK;         // DeepSeek-V3

std::span<const TopKMethod* const> TopKMethods();

}  // namespace moecast
