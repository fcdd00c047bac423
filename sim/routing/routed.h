// One MoE layer of one micro-batch, routed: what the experts, the ranks of the expert-parallel
// group and the links between these take. The token-dropping devices are the model's groups, as for
// its losses; where a model has none, they are the ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/random.h"
#include "costmodel/expert_load.h"
#include "costmodel/gating/gate.h"
#include "costmodel/plan.h"
#include "costmodel/spread.h"
#include "sim/routing/tokens.h"
#include "topology/cluster.h"
#include "traces/routing_record.h"

namespace moecast {

// What routes and where to.
struct RoutingSetup {
  Gate gate;
  RoutingLoad load;  // capacity and protected sequences; `tokens` absent is uniform
  int64_t sequences = 1, length = 1;  // of a rank's micro-batch
  ExpertSpread spread;
  BytesPerSecond nvlink{1}, network{1};  // what tokens reach of a rank's ports
  bool in_turn = false;                  // NVLink when the network is done, not both at once

  int dropping_devices() const { return gate.groups > 1 ? gate.groups : spread.ranks; }
  TokenMix mix() const { return load.tokens.value_or(TokenMix{}); }
  int64_t tokens_per_rank() const { return sequences * length; }
  bool operator==(const RoutingSetup&) const = default;
};
// An expert-parallel group on the cluster, of one token a rank. REQUIRES: a model with experts, its
// own spread, and routing that CheckRouting passed.
RoutingSetup RoutingOf(const Model& model, const Cluster& cluster, const ShardPlan& shard,
                       const Placement& placement, const RoutingLoad& routing,
                       const ExpertSpread& spread);
// An expert-parallel group of the plan, with its micro-batches. REQUIRES: a model with experts, a
// plan that CheckPlan passed, and its own spread.
RoutingSetup RoutingOf(const Model& model, const Cluster& cluster, const Plan& plan,
                       const ExpertSpread& spread, int64_t sequence_length);

struct LoadSummary {
  double mean = 0, max = 0;
  double cv = 0;  // standard deviation of the loads over their mean
  double max_over_mean() const { return mean > 0 ? max / mean : 1; }
};
LoadSummary SummaryOf(std::span<const double> loads);

struct RoutedLayer {
  double tokens = 0;                  // of all ranks; counts alone: as many as these visits are of
  std::vector<double> expert_visits;  // tokens of each expert
  std::vector<double> rank_visits;    // the same summed over a rank's experts: what it computes
  std::vector<double> rank_tokens;    // different tokens a rank takes, its own included
  double devices_per_token = 0, nodes_per_token = 0;
  double dropped = 0;         // fraction of the visits
  double dropped_weight = 0;  // fraction of the gate's weight that went with them
  // Tokens from rank to rank, [from][to]; a rank's own do not travel.
  std::vector<double> sent;
};

// Tokens of all ranks, rank after rank, as the gate sends them, before any is dropped.
Choices RouteTokens(const RoutingSetup& setup, const Centroids& centroids,
                    std::span<const uint16_t> clusters, std::span<const float> bias,
                    Random& random);

// What the experts, ranks and links take of these tokens after dropping. `draw` is how many
// micro-batches were measured before: over many of them the sequences that are never dropped come
// to RoutingLoad::never_dropped.
RoutedLayer Measure(const RoutingSetup& setup, const Choices& choices, int64_t draw);

// The same where only each expert's number of tokens is known. Fields that tell of single tokens,
// dropped_weight and sent stay empty.
RoutedLayer MeasureCounts(const RoutingSetup& setup, std::span<const uint32_t> counts);

// The layers of micro-batches, drawn one by one: a micro-batch's tokens keep their clusters through
// its layers. Draws of the same seed, mix and gate have the same layers; `of_tokens` gives them
// tokens of a seed of their own.
class RoutedDraws {
 public:
  RoutedDraws(const RoutingSetup& setup, int layers, uint64_t seed,
              std::optional<uint64_t> of_tokens = std::nullopt);
  Choices Next();  // layer by layer, then the next micro-batch's first layer

 private:
  RoutingSetup setup_;
  std::vector<Centroids> layers_;
  std::vector<uint16_t> clusters_;
  Random random_;
  size_t layer_ = 0;
};

// What the ranks take of a layer that was measured. Where only counts are known, tokens and bytes
// go with the visits. REQUIRES: where tokens are sent once per node, ranks fill their nodes.
ExpertLoad LoadOf(const RoutingSetup& setup, const RoutedLayer& layer);

// Loads of the MoE layers of a step's micro-batches. Fewer of both are routed than there are: those
// repeat, shifted so that no two layers repeat each other.
struct ExpertLoads {
  ExpertLoad mean;
  int layers = 1, micro_batches = 1;  // routed
  std::vector<ExpertLoad> at;         // [micro-batch][layer]; empty: all are the mean

  size_t IndexOf(int layer, int micro_batch) const {
    return static_cast<size_t>((micro_batch + layer / layers) % micro_batches) * layers +
           layer % layers;
  }
};
// Of `layers` layers: tokens as they are described, routed, or the closed form of device_cv
// (LoadOf).
ExpertLoads LoadsOf(const RoutingSetup& setup, int layers);
// As recorded: each layer's counts of each micro-batch, or its choices as of one micro-batch.
ExpertLoads LoadsOf(const RoutingSetup& setup, const RoutingRecord& record);
// A layer's counts of a micro-batch, by expert. REQUIRES: !record.has_choices().
std::span<const uint32_t> CountsOf(const RoutingRecord& record, int layer, int64_t micro_batch);
// A layer's choices. REQUIRES: record.has_choices().
Choices ChoicesOf(const RoutingRecord& record, int layer);

// Different experts that `batch` tokens go to, mean over the batches a micro-batch is cut into; a
// batch's tokens are far apart, as those of different sequences. REQUIRES: 1 <= batch <=
// choices.tokens().
double DistinctExperts(const Choices& choices, int experts, int64_t batch);

}  // namespace moecast
