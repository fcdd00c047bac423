// The gate of a MoE layer: which experts a token goes to, from its affinity to each.
//
//   scoring     affinity of a token to each expert from its logits: the rows of gating/scoring.h
//   groups      the candidates are the experts of the top_groups best of `groups` equal groups.
//               What a group is worth the method says: the rows of gating/top_k_method.h (groups
//               are devices with DeepSeek-V2, nodes with V3)
//   choice      the top_k best candidates; with top_p as many, best first, as it takes for their
//               affinities to sum to that part of the token's affinity to all experts (arXiv
//               2403.07652), at least one
//   bias        added to the affinity where groups and experts are chosen, and nowhere else
//               (2408.15664)
//   weight      affinity of a chosen expert, where the model normalises over the sum of the chosen,
//               times its scaling factor
//
// Ties: of equal scores the group, then the expert, of the lower index is better. Shared experts
// take every token and are no part of the gate.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "costmodel/model.h"

namespace moecast {

struct Gate {
  int experts = 0;
  int top_k = 0;
  int groups = 1, top_groups = 1;
  const TopKMethod* method = &kGreedyTopK;
  const Scoring* scoring = &kSoftmaxScoring;
  bool normalize = false;
  double scaling = 1;
  double top_p = 0;  // in place of top_k where above 0

  int group_size() const { return experts / groups; }
  bool operator==(const Gate&) const = default;
};
// REQUIRES: moe.experts > 0 and below 65,536, moe.groups divides it, top_k of top_groups groups.
Gate GateOf(const Moe& moe);

// The experts of tokens, best first, token after token.
struct Choices {
  std::vector<uint16_t> expert;
  std::vector<float> affinity;        // without bias
  std::vector<uint32_t> begin = {0};  // tokens() + 1 places in the two above

  size_t tokens() const { return begin.size() - 1; }
  std::span<const uint16_t> ExpertsOf(size_t token) const {
    return std::span(expert).subspan(begin[token], begin[token + 1] - begin[token]);
  }
  std::span<const float> AffinitiesOf(size_t token) const {
    return std::span(affinity).subspan(begin[token], begin[token + 1] - begin[token]);
  }
};

// Affinities from the logits of whole tokens, `experts` each; the two may be the same numbers.
// REQUIRES: finite logits of at most 75, for sigmoid also of at least -75.
void ToAffinities(const Scoring& scoring, int experts, std::span<const float> logits,
                  std::span<float> affinities);
// The same from odds, exp(logit). REQUIRES: positive, a token's sum finite.
void OddsToAffinities(const Scoring& scoring, int experts, std::span<float> odds);

// Appends the choice of each token. `bias` holds one number an expert, or nothing. REQUIRES: finite
// numbers.
void Choose(const Gate& gate, std::span<const float> affinities, std::span<const float> bias,
            Choices& out);

// What each chosen expert's output is multiplied by, in the order of choices.expert.
std::vector<float> WeightsOf(const Gate& gate, const Choices& choices);

}  // namespace moecast
