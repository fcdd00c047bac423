#include "sim/routing/rank_loads.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace moecast {
namespace {

// Layers routed, each with experts of its own popularity.
constexpr int kLayers = 4;
// Tokens of all ranks in the largest iteration; beyond it chance does little more. And those that
// experts are placed by, and that each number of tokens is measured with, in whole iterations.
constexpr int64_t kMostTokens = 1 << 15, kPlacedBy = 1 << 15, kMeasured = 1 << 15;
constexpr int64_t kStep = 4;  // from one number of tokens to the next
constexpr int64_t kLeastIterations = 1;

// Where the experts of one layer lie.
class Slots {
 public:
  // As EPLB puts them: by groups on nodes where these come out even.
  Slots(std::span<const double> visits, const RoutingSetup& setup, int redundant) {
    const PlacementShape shape = PlacementShapeOf(setup, redundant);
    const bool by_groups = setup.gate.groups > 1 &&
                           CanPlace(PlacementPolicy::kHierarchical, setup.gate.experts, shape);
    const std::vector<int> placed = PlaceExperts(
        by_groups ? PlacementPolicy::kHierarchical : PlacementPolicy::kGlobal, visits, shape);
    of_.resize(static_cast<size_t>(setup.gate.experts));
    turn_.resize(of_.size());
    for (size_t slot = 0; slot < placed.size(); ++slot)
      of_[static_cast<size_t>(placed[slot])].push_back(static_cast<uint16_t>(slot));
  }

  // Each choice the slot it goes to: copies of an expert take turns.
  Choices Of(Choices choices) {
    for (uint16_t& expert : choices.expert) {
      const std::vector<uint16_t>& copies = of_[expert];
      expert = copies[turn_[expert]++ % copies.size()];
    }
    return choices;
  }
  std::vector<uint32_t> Of(std::span<const uint32_t> counts, size_t slots) const {
    std::vector<uint32_t> by_slot(slots);
    for (size_t e = 0; e < counts.size(); ++e)
      for (size_t i = 0; i < of_[e].size(); ++i)
        by_slot[of_[e][i]] =
            (counts[e] + static_cast<uint32_t>(i)) / static_cast<uint32_t>(of_[e].size());
    return by_slot;
  }

 private:
  std::vector<std::vector<uint16_t>> of_;  // by expert
  std::vector<size_t> turn_;
};

void AddVisits(const Choices& choices, std::vector<double>& visits) {
  for (const uint16_t expert : choices.expert) visits[expert] += 1;
}

// Sequences of a rank's tokens.
RoutingSetup IterationOf(RoutingSetup setup, int64_t tokens) {
  setup.sequences = tokens <= kOfSequences ? tokens : 1;
  setup.length = tokens / setup.sequences;
  return setup;
}

// Draws of the layers' tokens, iteration by iteration. The seeds are fixed: the loads are figures
// of the scenario.
void DrawIterations(const RoutingSetup& setup, int64_t tokens, uint64_t of_tokens,
                    const std::function<void(int layer, Choices)>& routed) {
  RoutedDraws draws(setup, kLayers, KeyOf("routing", 1), KeyOf("tokens", of_tokens));
  const int64_t each = setup.tokens_per_rank() * setup.spread.ranks * kLayers;
  const int64_t iterations = std::max(kLeastIterations, tokens / each);
  for (int64_t i = 0; i < iterations; ++i)
    for (int l = 0; l < kLayers; ++l) routed(l, draws.Next());
}

}  // namespace

PlacementShape PlacementShapeOf(const RoutingSetup& setup, int redundant) {
  return {
      .devices = setup.spread.ranks,
      .nodes = (setup.spread.ranks + setup.spread.ranks_per_node - 1) / setup.spread.ranks_per_node,
      .groups = setup.gate.groups,
      .slots = setup.gate.experts + redundant};
}

ExpertLoad RankLoads::Of(double tokens_of_rank) const {
  const auto above = std::upper_bound(tokens.begin(), tokens.end(), tokens_of_rank);
  if (above == tokens.begin()) return at.front();
  if (above == tokens.end()) return at.back();
  const auto i = static_cast<size_t>(above - tokens.begin());
  const double part =
      std::log(tokens_of_rank / tokens[i - 1]) / std::log(tokens[i] / tokens[i - 1]);
  ExpertLoad load = at[i - 1];
  for (Share ExpertLoad::*of : kShares) {
    (load.*of).mean += part * ((at[i].*of).mean - (load.*of).mean);
    (load.*of).most += part * ((at[i].*of).most - (load.*of).most);
  }
  return load;
}

RankLoads RankLoadsOf(RoutingSetup setup, const RoutingRecord* record,
                      const std::optional<int>& redundant) {
  if (!record && !setup.load.tokens) return {{1}, {LoadOf(setup.load, setup.spread.ranks)}};
  RoutingSetup slots = setup;
  slots.gate.experts += redundant.value_or(0);
  // Placed by what all micro-batches have taken, as there is nothing before.
  if (record) {
    const int batches = record->has_choices() ? 1 : static_cast<int>(record->rows);
    std::vector<ExpertLoad> at;
    for (int l = 0; l < record->layers; ++l) {
      std::vector<double> visits(static_cast<size_t>(setup.gate.experts));
      if (record->has_choices()) AddVisits(ChoicesOf(*record, l), visits);
      for (int m = 0; m < batches && !record->has_choices(); ++m)
        for (size_t e = 0; e < visits.size(); ++e) visits[e] += CountsOf(*record, l, m)[e];
      std::optional<Slots> placed;
      if (redundant) placed.emplace(visits, setup, *redundant);
      for (int m = 0; m < batches; ++m) {
        if (record->has_choices()) {
          const Choices choices = ChoicesOf(*record, l);
          at.push_back(LoadOf(slots, Measure(slots, placed ? placed->Of(choices) : choices, l)));
          continue;
        }
        const std::span<const uint32_t> counts = CountsOf(*record, l, m);
        const size_t all = static_cast<size_t>(slots.gate.experts);
        at.push_back(LoadOf(slots, placed ? MeasureCounts(slots, placed->Of(counts, all))
                                          : MeasureCounts(slots, counts)));
      }
    }
    return {{1}, {MeanOf(at)}};
  }
  std::vector<Slots> placed;
  if (redundant) {
    std::vector<std::vector<double>> visits(
        kLayers, std::vector<double>(static_cast<size_t>(setup.gate.experts)));
    DrawIterations(
        IterationOf(setup, kOfSequences), kPlacedBy, 0,
        [&](int l, const Choices& choices) { AddVisits(choices, visits[static_cast<size_t>(l)]); });
    for (const std::vector<double>& of_layer : visits)
      placed.emplace_back(of_layer, setup, *redundant);
  }
  RankLoads loads;
  for (int64_t tokens = 1;; tokens *= kStep) {
    const RoutingSetup iteration = IterationOf(setup, tokens);
    RoutingSetup measured = IterationOf(slots, tokens);
    std::vector<ExpertLoad> at;
    DrawIterations(iteration, kMeasured, 1, [&](int l, Choices choices) {
      if (redundant) choices = placed[static_cast<size_t>(l)].Of(std::move(choices));
      at.push_back(LoadOf(measured, Measure(measured, choices, static_cast<int64_t>(at.size()))));
    });
    loads.tokens.push_back(static_cast<double>(tokens));
    loads.at.push_back(MeanOf(at));
    if (tokens * kStep * setup.spread.ranks > kMostTokens) return loads;
  }
}

}  // namespace moecast
