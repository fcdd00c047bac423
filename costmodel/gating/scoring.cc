#include "costmodel/gating/scoring.h"

#include <algorithm>

#include "costmodel/gating/avx2.h"
#include "costmodel/gating/four.h"

namespace moecast {
namespace {

// The logits of largest size that a row takes: exp of 65,535 of them still has a finite sum.
constexpr float kReach = 75;

float SumOf(const Eight& parts) {
  return ((parts[0] + parts[4]) + (parts[2] + parts[6])) +
         ((parts[1] + parts[5]) + (parts[3] + parts[7]));
}

// The greatest need not be taken off: up to 75 a sum of 65,535 powers is finite.
MOECAST_INLINE void Exponentials(const float* z, int n, float* out, Eight& sum) {
  Eight x;
  LoadFrom(z, n, 0, x);
  RaiseE(x);
  StoreTo(x, n, out);
  for (int l = n; l < 8; ++l) x[l] = 0;  // what is behind the end counts for nothing
  sum += x;
}
MOECAST_ALSO_AVX2 void Softmax(const float* z, int n, float* out) {
  const int whole = n / 8 * 8;
  Eight sum{};
  for (int i = 0; i < whole; i += 8) Exponentials(z + i, 8, out + i, sum);
  if (whole < n) Exponentials(z + whole, n - whole, out + whole, sum);
  const float scale = 1 / SumOf(sum);
  for (int i = 0; i < n; ++i) out[i] *= scale;
}

MOECAST_INLINE void Sigmoids(const float* z, int n, float* out) {
  Eight x;
  LoadFrom(z, n, 0, x);
  x = -x;
  RaiseE(x);
  x = 1 / (1 + x);
  StoreTo(x, n, out);
}
MOECAST_ALSO_AVX2 void Sigmoid(const float* z, int n, float* out) {
  const int whole = n / 8 * 8;
  for (int i = 0; i < whole; i += 8) Sigmoids(z + i, 8, out + i);
  if (whole < n) Sigmoids(z + whole, n - whole, out + whole);
}

void SoftmaxFromOdds(float* odds, int experts) {
  const float scale = 1 / Sum(odds, experts);
  ForEachFour(odds, experts, [scale](Four x) { return x * scale; });
}

void SigmoidFromOdds(float* odds, int experts) {
  ForEachFour(odds, experts, [](Four x) { return x / (1 + x); });
}

// Softmax knows the differences of logits alone.
void ShiftToZero(float* logits, int experts) {
  const float most = *std::max_element(logits, logits + experts);
  for (int i = 0; i < experts; ++i) logits[i] -= most;
}

// A sigmoid is 0 or 1 beyond.
void Clamp(float* logits, int experts) {
  for (int i = 0; i < experts; ++i) logits[i] = std::clamp(logits[i], -kReach, kReach);
}

// Functions compiled twice are called, not pointed at.
void SoftmaxAffinities(const float* logits, int experts, float* out) {
  Softmax(logits, experts, out);
}
void SigmoidAffinities(const float* logits, int experts, float* out) {
  Sigmoid(logits, experts, out);
}

// exp(z) before it is divided by the sum, and 1 / (1 + exp(-z)).
float ExpLogSlope(float) {
  return 1;
}
float SigmoidLogSlope(float affinity) {
  return 1 - affinity;
}

}  // namespace

const Scoring kSoftmaxScoring{
    .name = "softmax",
    .help = "softmax of a token's logits (DeepSeek-V2, arXiv 2405.04434, section 2.1)",
    .affinities = SoftmaxAffinities,
    .from_odds = SoftmaxFromOdds,
    .within_reach = ShiftToZero,
    .log_slope = ExpLogSlope,
};
const Scoring kSigmoidScoring{
    .name = "sigmoid",
    .help = "sigmoid of each logit (DeepSeek-V3, arXiv 2412.19437, section 2.1.2)",
    .affinities = SigmoidAffinities,
    .from_odds = SigmoidFromOdds,
    .within_reach = Clamp,
    .log_slope = SigmoidLogSlope,
};

std::span<const Scoring* const> Scorings() {
  static constexpr const Scoring* kScorings[] = {&kSoftmaxScoring, &kSigmoidScoring};
  return kScorings;
}

}  // namespace moecast
