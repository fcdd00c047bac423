// How a gate turns the logits of a token into its affinities to the experts: a row each, by the
// name that config.json gives it (scoring_func).
#pragma once

#include <span>
#include <string_view>

namespace moecast {

// Functions of one token, which take its `experts` numbers.
struct Scoring {
  std::string_view name;
  std::string_view help;
  // Affinities from logits; the two may be the same numbers. REQUIRES: logits that within_reach
  // leaves alone.
  void (*affinities)(const float* logits, int experts, float* out);
  // Odds, exp(logit), become affinities in their place. REQUIRES: positive, their sum finite.
  void (*from_odds)(float* odds, int experts);
  // Moves logits so that `affinities` takes them; affinities stay what they are but for a last bit.
  void (*within_reach)(float* logits, int experts);
  // Derivative of the logarithm of an affinity by its logit, leaving out what all affinities are
  // divided by.
  float (*log_slope)(float affinity);
};
extern const Scoring kSoftmaxScoring;  // of a token's logits
extern const Scoring kSigmoidScoring;  // of each logit

std::span<const Scoring* const> Scorings();

}  // namespace moecast
