// What `moecast routing` answers: the gate of a scenario's model over tokens, on the ranks of one
// expert-parallel group. Figures are means over the layers and micro-batches routed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "costmodel/expert_load.h"
#include "sim/routing/balance.h"
#include "sim/routing/expert_placement.h"
#include "sim/routing/routed.h"
#include "traces/routing_record.h"

namespace moecast {

struct RoutingOptions {
  int layers = 4;         // MoE layers
  int micro_batches = 1;  // of each rank
  std::optional<PlacementPolicy> placement;
  int redundant = 0;  // expert slots beyond one an expert
  BalanceOptions balance;
  uint64_t seed = 1;
};

struct RoutedRow {
  int layer = 0;
  int64_t micro_batch = 0;
  LoadSummary expert, device, received;
  double devices_per_token = 0, nodes_per_token = 0, dropped = 0, dropped_weight = 0;
};

// The most loaded device over the mean: as the experts lie in order; placed by a micro-batch's own
// loads; and with that placement in the next micro-batch (absent with one).
struct PlacedLoad {
  PlacementPolicy policy = PlacementPolicy::kHierarchical;
  int slots = 0;
  double before = 0, after = 0;
  std::optional<double> next;
};

struct RoutingReport {
  std::string scenario;
  Model model;
  RoutingSetup setup;
  std::string tokens_from;    // "uniform", ..., or the file of a record
  bool single_tokens = true;  // false: counts alone; what single tokens do is not known
  std::vector<RoutedRow> rows;
  RoutedRow mean;
  double experts_per_token = 0;
  TokenSpread uniform;                 // closed form, plain groups chosen alike
  std::vector<double> dispatch_bytes;  // [from][to]
  struct Distinct {
    int64_t tokens;
    double experts;
  };
  std::vector<Distinct> distinct;
  std::optional<PlacedLoad> placed;
  std::vector<BalanceStep> history;
};

// `record` in place of drawn tokens where it is not null. REQUIRES: options.placement fits
// (CanPlace).
RoutingReport ReportRouting(const std::string& scenario, const Model& model, const Plan& plan,
                            const RoutingSetup& setup, const RoutingOptions& options,
                            const RoutingRecord* record);

// The choices of the first micro-batch that ReportRouting draws with these options, before any is
// dropped.
RoutingRecord RecordRouting(const RoutingSetup& setup, const RoutingOptions& options);

}  // namespace moecast
