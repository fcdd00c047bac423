// Tokens for a gate, drawn from a TokenMix.
//
// A token has a cluster c. Its logit for expert i is centroid[c][i] + Gumbel noise: the centroid of
// the expert in the basis of the clusters' directions. With centroid = log(popularity) the choices
// of a plain top-k gate are draws without replacement in proportion to popularity (the Gumbel-top-k
// trick, arXiv 1903.06059), so the popularity is exact and not a parameter of some noise.
//   uniform   one cluster, popularity 1
//   zipf      one cluster, popularity of rank r in proportion to r^-exponent
//   clusters  popularity of each cluster ~ Dirichlet(concentration, ...): normalised gamma
//             variables. A sequence is a Markov chain over the clusters that draws a new one after
//             `dwell` tokens on average
// From a layer to the next an expert keeps its gamma variable with probability layer_correlation,
// which keeps the distribution and gives that correlation; with zipf it keeps its rank, and the
// others swap theirs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/random.h"
#include "costmodel/gating/token_mix.h"

namespace moecast {

struct Centroids {
  int clusters = 1, experts = 0;
  std::vector<float> at;  // by cluster, then expert
  float& operator()(int cluster, int expert) {
    return at[static_cast<size_t>(cluster) * experts + expert];
  }
  float operator()(int cluster, int expert) const {
    return at[static_cast<size_t>(cluster) * experts + expert];
  }
};

Centroids FirstLayer(const TokenMix& mix, int experts, Random& random);
void GoToNextLayer(const TokenMix& mix, Random& random, Centroids& centroids);

// Cluster of every token of sequences one behind the other.
std::vector<uint16_t> DrawClusters(const TokenMix& mix, int64_t sequences, int64_t length,
                                   Random& random);

// exp of every centroid.
std::vector<float> PopularitiesOf(const Centroids& centroids);
// exp of the logits of tokens of these clusters, `experts` each: a popularity over an exponential
// variable, which is exp(-Gumbel). Where nothing needs the logits this takes a third of their time.
void DrawOdds(std::span<const float> popularities, int experts, std::span<const uint16_t> clusters,
              Random& random, std::vector<float>& odds);

// Logits of tokens of these clusters, `centroids.experts` each.
void DrawLogits(const Centroids& centroids, std::span<const uint16_t> clusters, Random& random,
                std::vector<float>& logits);

}  // namespace moecast
