// How a gate becomes balanced: steps of the balance losses on its centroids and of V3's bias, each
// on a fresh batch of synthetic tokens. No language-model loss pulls against them, so what is shown
// is what each balances and in which order, not how balanced a trained model ends.
//
// Losses (DeepSeek-V2, arXiv 2405.04434, equations 23 to 31), over T tokens, N experts, K chosen, D
// groups ("devices") of which M are taken, s'_it the affinity of token t to expert i, as a part of
// the token's sum:
//   P_i = mean over t of s'_it
//   expert         alpha_1 sum_i f_i P_i,      f_i = N/(K T) tokens that chose i
//   device         alpha_2 sum_d f'_d P'_d,    f'_d = mean of f_i over the experts of d, P'_d = sum
//                  of P_i
//   communication  alpha_3 sum_d f''_d P'_d,   f''_d = D/(M T) tokens sent to d
// f counts and has no gradient. All three are sum_i w_i P_i with w_i = alpha_1 f_i + alpha_2
// f'_d(i) + alpha_3 f''_d(i), so with the mean w̄ of w under s' the gradient of a token's logit z_i
// is
//   s'_i (w_i - w̄) / T for softmax, s'_i (1 - s_i) (w_i - w̄) / T for sigmoid,
// and the centroid's in the basis of the clusters (sim/routing/tokens.h) is its sum over the
// cluster's tokens.
//
// Bias (arXiv 2408.15664, algorithm 1): b_i += rate * sign(mean load - load_i), which chooses and
// no more.
#pragma once

#include <cstdint>
#include <vector>

#include "base/enum_names.h"
#include "base/known.h"
#include "sim/routing/routed.h"

namespace moecast {

enum class BalanceLoss : uint8_t { kExpert, kDevice, kCommunication };
template <>
struct EnumNames<BalanceLoss> {
  static constexpr EnumName<BalanceLoss> kNames[] = {
      {BalanceLoss::kExpert, "expert"},
      {BalanceLoss::kDevice, "device"},
      {BalanceLoss::kCommunication, "communication"}};
};
inline constexpr Known kExpertAlpha{0.003, "arXiv 2405.04434, section 3.1.2: alpha_1"};
inline constexpr Known kDeviceAlpha{0.05, "arXiv 2405.04434, section 3.1.2: alpha_2"};
inline constexpr Known kCommunicationAlpha{0.02, "arXiv 2405.04434, section 3.1.2: alpha_3"};
inline constexpr Known kBiasRate{0.001, "arXiv 2412.19437, section 4.2: bias update speed"};

// What a centroid moves by: the rate times the gradient, or the rate in the direction against it,
// as in the first steps of Adam, where only the losses' proportions count.
enum class StepRule : uint8_t { kSign, kGradient };
template <>
struct EnumNames<StepRule> {
  static constexpr EnumName<StepRule> kNames[] = {{StepRule::kSign, "sign"},
                                                  {StepRule::kGradient, "gradient"}};
};

struct BalanceOptions {
  int steps = 0;
  int64_t tokens = 8192;  // of each step
  std::vector<BalanceLoss> losses;
  StepRule rule = StepRule::kSign;
  double rate = 0;       // of the centroids, in logits
  double bias_rate = 0;  // 0: no bias
};

// The imbalance of a step's tokens, before it moves anything.
struct BalanceStep {
  LoadSummary expert;         // visits of the experts
  LoadSummary device;         // visits of the devices
  LoadSummary communication;  // tokens sent to the devices
  double expert_loss = 0, device_loss = 0,
         communication_loss = 0;  // alpha included, also where left out
};

// Tokens that have gone through the gate, `experts` numbers each.
struct GatedBatch {
  std::vector<uint16_t> clusters;
  std::vector<float> affinities;
  std::vector<float> shares;  // s': affinities as parts of each token's sum
  Choices choices;
};
GatedBatch GateBatch(const RoutingSetup& setup, std::vector<uint16_t> clusters,
                     std::vector<float> logits, std::span<const float> bias);
BalanceStep ImbalanceOf(const RoutingSetup& setup, const GatedBatch& batch);
// d (sum of the losses) / d centroid, by cluster and expert.
std::vector<double> CentroidGradient(const RoutingSetup& setup,
                                     const std::vector<BalanceLoss>& losses,
                                     const GatedBatch& batch, int clusters);

// steps + 1 entries: before the first step to after the last. The devices are
// setup.dropping_devices(); nothing is dropped.
std::vector<BalanceStep> Balance(const RoutingSetup& setup, const BalanceOptions& options,
                                 uint64_t seed);

}  // namespace moecast
