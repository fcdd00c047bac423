#include "sim/routing/tokens.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/distributions.h"
#include "costmodel/gating/four.h"

namespace moecast {
namespace {

// Logits stay where exp of a difference is a number; an expert at the floor is never chosen.
constexpr double kFloor = -40;

float DirichletCentroid(const TokenMix& mix, Random& random) {
  return static_cast<float>(std::max(kFloor, LogGammaVariable(mix.concentration, random)));
}

template <class T>
void Shuffle(std::vector<T>& items, Random& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.Below(i)]);
}

// Uniform variables in (0, 1), in steps of 2^-23, in place of the numbers given, by f of four.
template <class Function>
void FillWithUniform(std::span<float> out, Random& random, Function f) {
  // Bits and numbers apart: a vector loaded over two words just stored would wait for both to be
  // written.
  constexpr size_t kBlock = 1024;
  uint64_t bits[kBlock / 2] = {};
  for (size_t first = 0; first < out.size(); first += kBlock) {
    const auto numbers = out.subspan(first, std::min(kBlock, out.size() - first));
    for (size_t i = 0; 2 * i < numbers.size(); ++i) bits[i] = random.Next();
    for (size_t i = 0; i < numbers.size(); i += 4) {
      FourInts four;
      std::memcpy(&four, &bits[i / 2], sizeof four);
      // The sign bit is shifted in and masked away.
      const Four x = f((__builtin_convertvector((four >> 9) & 0x7fffff, Four) + 0.5f) * 0x1.0p-23f);
      std::memcpy(&numbers[i], &x, sizeof(float) * std::min(size_t{4}, numbers.size() - i));
    }
  }
}

}  // namespace

Centroids FirstLayer(const TokenMix& mix, int experts, Random& random) {
  const bool clustered = mix.distribution == TokenDistribution::kClusters;
  Centroids c{.clusters = clustered ? mix.clusters : 1, .experts = experts};
  c.at.assign(static_cast<size_t>(c.clusters) * experts, 0.0f);
  if (clustered)
    for (float& at : c.at) at = DirichletCentroid(mix, random);
  if (mix.distribution == TokenDistribution::kZipf) {
    for (int r = 0; r < experts; ++r)
      c.at[r] = static_cast<float>(-mix.zipf_exponent * std::log(r + 1.0));
    Shuffle(c.at, random);
  }
  return c;
}

void GoToNextLayer(const TokenMix& mix, Random& random, Centroids& c) {
  std::vector<size_t> redrawn;
  for (size_t i = 0; i < c.at.size(); ++i)
    if (random.Uniform() >= mix.layer_correlation) redrawn.push_back(i);
  if (mix.distribution == TokenDistribution::kClusters)
    for (const size_t i : redrawn) c.at[i] = DirichletCentroid(mix, random);
  if (mix.distribution == TokenDistribution::kZipf) {
    std::vector<float> ranks;
    for (const size_t i : redrawn) ranks.push_back(c.at[i]);
    Shuffle(ranks, random);
    for (size_t k = 0; k < redrawn.size(); ++k) c.at[redrawn[k]] = ranks[k];
  }
}

std::vector<uint16_t> DrawClusters(const TokenMix& mix, int64_t sequences, int64_t length,
                                   Random& random) {
  std::vector<uint16_t> clusters(static_cast<size_t>(sequences * length));
  if (mix.distribution != TokenDistribution::kClusters) return clusters;
  const auto draw = [&] { return static_cast<uint16_t>(random.Below(mix.clusters)); };
  uint16_t now = 0;
  for (size_t t = 0; t < clusters.size(); ++t) {
    if (t % length == 0 || random.Uniform() < 1 / mix.dwell) now = draw();
    clusters[t] = now;
  }
  return clusters;
}

std::vector<float> PopularitiesOf(const Centroids& centroids) {
  std::vector<float> popularities = centroids.at;
  ForEachFour(popularities.data(), static_cast<int>(popularities.size()),
              [](Four z) { return Exp(z); });
  return popularities;
}

void DrawOdds(std::span<const float> popularities, int experts, std::span<const uint16_t> clusters,
              Random& random, std::vector<float>& odds) {
  const auto n = static_cast<size_t>(experts);
  odds.resize(clusters.size() * n);
  FillWithUniform(odds, random, [](Four u) { return -1 / Log(u); });
  for (size_t t = 0; t < clusters.size(); ++t) {
    const float* popular = popularities.data() + clusters[t] * n;
    for (size_t i = 0; i < n; ++i) odds[t * n + i] *= popular[i];
  }
}

void DrawLogits(const Centroids& centroids, std::span<const uint16_t> clusters, Random& random,
                std::vector<float>& logits) {
  const auto n = static_cast<size_t>(centroids.experts);
  logits.resize(clusters.size() * n);
  FillWithUniform(logits, random, [](Four u) { return -Log(-Log(u)); });
  for (size_t t = 0; t < clusters.size(); ++t) {
    const float* at = centroids.at.data() + clusters[t] * n;
    for (size_t i = 0; i < n; ++i) logits[t * n + i] += at[i];
  }
}

}  // namespace moecast
