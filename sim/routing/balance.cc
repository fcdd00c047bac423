#include "sim/routing/balance.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

double Sign(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

// What a batch asked of experts and devices.
struct Counts {
  std::vector<double> visits, device_visits, sent;  // sent: tokens with an expert on the device
};

Counts CountsOf(const RoutingSetup& setup, const GatedBatch& b) {
  const int n = setup.gate.experts;
  const int devices = setup.dropping_devices();
  const int on_device = n / devices;
  Counts c{.visits = std::vector<double>(n),
           .device_visits = std::vector<double>(devices),
           .sent = std::vector<double>(devices)};
  std::vector<size_t> seen(devices, b.choices.tokens());
  for (size_t t = 0; t < b.choices.tokens(); ++t) {
    for (const uint16_t expert : b.choices.ExpertsOf(t)) {
      const int device = expert / on_device;
      c.visits[expert] += 1;
      c.device_visits[device] += 1;
      c.sent[device] += seen[device] != t;
      seen[device] = t;
    }
  }
  return c;
}

// alpha f of a loss, by expert: its part of w.
std::vector<double> WeightsFrom(BalanceLoss loss, const RoutingSetup& setup, const GatedBatch& b,
                                const Counts& c) {
  const Gate& gate = setup.gate;
  const int n = gate.experts;
  const int devices = setup.dropping_devices();
  const int on_device = n / devices;
  const auto tokens = static_cast<double>(b.choices.tokens());
  // The choices a token makes on average: K, or what top-p gives. The devices it may reach: M, or
  // where groups are not limited as many as it has experts for.
  const double k = static_cast<double>(b.choices.expert.size()) / tokens;
  const double m = gate.top_groups < gate.groups ? gate.top_groups : std::min<double>(devices, k);
  std::vector<double> w(n);
  for (int i = 0; i < n; ++i) {
    const int d = i / on_device;
    switch (loss) {
      case BalanceLoss::kExpert:
        w[i] = kExpertAlpha.value * n / (k * tokens) * c.visits[i];
        break;
      case BalanceLoss::kDevice:
        w[i] = kDeviceAlpha.value * n / (k * tokens) * c.device_visits[d] / on_device;
        break;
      case BalanceLoss::kCommunication:
        w[i] = kCommunicationAlpha.value * devices / (m * tokens) * c.sent[d];
        break;
    }
  }
  return w;
}

// sum_i w_i P_i.
double LossOf(const std::vector<double>& w, const GatedBatch& b) {
  double loss = 0;
  for (size_t first = 0; first < b.shares.size(); first += w.size())
    for (size_t i = 0; i < w.size(); ++i) loss += w[i] * b.shares[first + i];
  return loss / static_cast<double>(b.choices.tokens());
}

}  // namespace

GatedBatch GateBatch(const RoutingSetup& setup, std::vector<uint16_t> clusters,
                     std::vector<float> logits, std::span<const float> bias) {
  GatedBatch b{.clusters = std::move(clusters), .affinities = std::move(logits)};
  const int n = setup.gate.experts;
  // Many steps may carry logits beyond what the scoring takes.
  for (size_t first = 0; first < b.affinities.size(); first += n)
    setup.gate.scoring->within_reach(&b.affinities[first], n);
  ToAffinities(*setup.gate.scoring, n, b.affinities, b.affinities);
  b.shares = b.affinities;
  for (size_t t = 0; t < b.clusters.size(); ++t) {
    float* share = b.shares.data() + t * n;
    float sum = 0;
    for (int i = 0; i < n; ++i) sum += share[i];
    for (int i = 0; i < n; ++i) share[i] /= sum;
  }
  Choose(setup.gate, b.affinities, bias, b.choices);
  return b;
}

BalanceStep ImbalanceOf(const RoutingSetup& setup, const GatedBatch& b) {
  const Counts c = CountsOf(setup, b);
  return {.expert = SummaryOf(c.visits),
          .device = SummaryOf(c.device_visits),
          .communication = SummaryOf(c.sent),
          .expert_loss = LossOf(WeightsFrom(BalanceLoss::kExpert, setup, b, c), b),
          .device_loss = LossOf(WeightsFrom(BalanceLoss::kDevice, setup, b, c), b),
          .communication_loss = LossOf(WeightsFrom(BalanceLoss::kCommunication, setup, b, c), b)};
}

std::vector<double> CentroidGradient(const RoutingSetup& setup,
                                     const std::vector<BalanceLoss>& losses, const GatedBatch& b,
                                     int clusters) {
  const int n = setup.gate.experts;
  const Counts c = CountsOf(setup, b);
  std::vector<double> w(n);
  for (const BalanceLoss loss : losses) {
    const std::vector<double> more = WeightsFrom(loss, setup, b, c);
    for (int i = 0; i < n; ++i) w[i] += more[i];
  }
  const auto tokens = static_cast<double>(b.clusters.size());
  std::vector<double> gradient(static_cast<size_t>(clusters) * n);
  for (size_t t = 0; t < b.clusters.size(); ++t) {
    const float* share = b.shares.data() + t * n;
    const float* affinity = b.affinities.data() + t * n;
    double* at = gradient.data() + static_cast<size_t>(b.clusters[t]) * n;
    double mean = 0;
    for (int i = 0; i < n; ++i) mean += w[i] * share[i];
    for (int i = 0; i < n; ++i)
      at[i] += share[i] * (w[i] - mean) * setup.gate.scoring->log_slope(affinity[i]) / tokens;
  }
  return gradient;
}

std::vector<BalanceStep> Balance(const RoutingSetup& setup, const BalanceOptions& options,
                                 uint64_t seed) {
  Random random(seed);
  Centroids centroids = FirstLayer(setup.mix(), setup.gate.experts, random);
  const int64_t sequences = (options.tokens + setup.length - 1) / setup.length;
  std::vector<float> bias(setup.gate.experts);
  std::vector<BalanceStep> history;
  for (int step = 0; step <= options.steps; ++step) {
    std::vector<uint16_t> clusters = DrawClusters(setup.mix(), sequences, setup.length, random);
    clusters.resize(static_cast<size_t>(options.tokens));
    std::vector<float> logits;
    DrawLogits(centroids, clusters, random, logits);
    const GatedBatch batch = GateBatch(setup, std::move(clusters), std::move(logits), bias);
    history.push_back(ImbalanceOf(setup, batch));
    if (step == options.steps) break;
    if (!options.losses.empty()) {
      const auto gradient = CentroidGradient(setup, options.losses, batch, centroids.clusters);
      for (size_t i = 0; i < gradient.size(); ++i) {
        const double along = options.rule == StepRule::kSign ? Sign(gradient[i]) : gradient[i];
        centroids.at[i] -= static_cast<float>(options.rate * along);
      }
    }
    const std::vector<double> visits = CountsOf(setup, batch).visits;
    for (size_t i = 0; i < bias.size(); ++i)
      bias[i] +=
          static_cast<float>(options.bias_rate * Sign(history.back().expert.mean - visits[i]));
  }
  return history;
}

}  // namespace moecast
