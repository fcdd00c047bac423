#include "sim/routing/routing_report.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "sim/routing/rank_loads.h"

namespace moecast {
namespace {

LoadSummary MeanOf(const std::vector<RoutedRow>& rows, LoadSummary RoutedRow::*of) {
  LoadSummary mean;
  const auto n = static_cast<double>(rows.size());
  for (const RoutedRow& row : rows) {
    mean.mean += (row.*of).mean / n;
    mean.max += (row.*of).max / n;
    mean.cv += (row.*of).cv / n;
  }
  return mean;
}
double MeanOf(const std::vector<RoutedRow>& rows, double RoutedRow::*of) {
  double sum = 0;
  for (const RoutedRow& row : rows) sum += row.*of;
  return sum / static_cast<double>(rows.size());
}

std::vector<double> VisitsOf(const Choices& choices, int experts) {
  std::vector<double> visits(experts);
  for (const uint16_t expert : choices.expert) visits[expert] += 1;
  return visits;
}

// Places each layer by what its experts are asked for, nothing dropped, and looks at the placement
// again in the layer's next micro-batch.
class Placing {
 public:
  Placing(PlacementPolicy policy, const PlacementShape& shape, int layers)
      : policy_(policy), shape_(shape), last_(layers) {}

  void Add(int layer, std::span<const double> visits) {
    const auto over_mean = [&](const std::vector<int>& placed) {
      return SummaryOf(DeviceLoads(placed, visits, shape_.devices)).max_over_mean();
    };
    if (!last_[layer].empty()) {
      next_ += over_mean(last_[layer]);
      ++nexts_;
    }
    last_[layer] = PlaceExperts(policy_, visits, shape_);
    std::vector<int> in_order(visits.size());
    std::iota(in_order.begin(), in_order.end(), 0);
    before_ += over_mean(in_order);
    after_ += over_mean(last_[layer]);
    ++n_;
  }
  PlacedLoad Result() const {
    PlacedLoad p{
        .policy = policy_, .slots = shape_.slots, .before = before_ / n_, .after = after_ / n_};
    if (nexts_ > 0) p.next = next_ / nexts_;
    return p;
  }

 private:
  PlacementPolicy policy_;
  PlacementShape shape_;
  std::vector<std::vector<int>> last_;  // by layer
  double before_ = 0, after_ = 0, next_ = 0;
  int n_ = 0, nexts_ = 0;
};

}  // namespace

RoutingReport ReportRouting(const std::string& scenario, const Model& model, const Plan& plan,
                            const RoutingSetup& setup, const RoutingOptions& options,
                            const RoutingRecord* record) {
  RoutingReport report{.scenario = scenario,
                       .model = model,
                       .setup = setup,
                       .tokens_from = std::string(NameOf(setup.mix().distribution)),
                       .single_tokens = !record || record->has_choices()};
  const int layers = record ? record->layers : options.layers;
  const int64_t micro_batches = !record                 ? options.micro_batches
                                : record->has_choices() ? 1
                                                        : record->rows;
  std::optional<Placing> placing;
  if (options.placement)
    placing.emplace(*options.placement, PlacementShapeOf(setup, options.redundant), layers);

  RoutedDraws draws(setup, layers, options.seed);
  report.dispatch_bytes.assign(static_cast<size_t>(setup.spread.ranks) * setup.spread.ranks, 0.0);
  const double routed_layers = static_cast<double>(micro_batches) * layers;
  const double token_bytes = model.hidden * ElementBytes(plan.precision.dispatch);
  int64_t draw = 0;
  for (int64_t m = 0; m < micro_batches; ++m) {
    for (int l = 0; l < layers; ++l, ++draw) {
      RoutedLayer routed;
      if (report.single_tokens) {
        const Choices choices = record ? ChoicesOf(*record, l) : draws.Next();
        routed = Measure(setup, choices, draw);
        if (placing) placing->Add(l, VisitsOf(choices, setup.gate.experts));
        const auto tokens = static_cast<double>(choices.tokens());
        report.experts_per_token +=
            static_cast<double>(choices.expert.size()) / tokens / routed_layers;
        for (size_t i = 0; i < routed.sent.size(); ++i)
          report.dispatch_bytes[i] += routed.sent[i] * token_bytes / routed_layers;
        if (draw == 0)
          for (int64_t batch = 1; batch <= std::min<int64_t>(256, static_cast<int64_t>(tokens));
               batch *= 2)
            report.distinct.push_back({batch, DistinctExperts(choices, setup.gate.experts, batch)});
      } else {
        const std::span counts = CountsOf(*record, l, m);
        routed = MeasureCounts(setup, counts);
        if (placing) placing->Add(l, std::vector<double>(counts.begin(), counts.end()));
      }
      report.rows.push_back({.layer = l,
                             .micro_batch = m,
                             .expert = SummaryOf(routed.expert_visits),
                             .device = SummaryOf(routed.rank_visits),
                             .received = SummaryOf(routed.rank_tokens),
                             .devices_per_token = routed.devices_per_token,
                             .nodes_per_token = routed.nodes_per_token,
                             .dropped = routed.dropped,
                             .dropped_weight = routed.dropped_weight});
    }
  }
  report.mean = {.expert = MeanOf(report.rows, &RoutedRow::expert),
                 .device = MeanOf(report.rows, &RoutedRow::device),
                 .received = MeanOf(report.rows, &RoutedRow::received),
                 .devices_per_token = MeanOf(report.rows, &RoutedRow::devices_per_token),
                 .nodes_per_token = MeanOf(report.rows, &RoutedRow::nodes_per_token),
                 .dropped = MeanOf(report.rows, &RoutedRow::dropped),
                 .dropped_weight = MeanOf(report.rows, &RoutedRow::dropped_weight)};
  report.uniform = setup.spread.uniform;
  if (placing) report.placed = placing->Result();
  if (!record) report.history = Balance(setup, options.balance, options.seed);
  return report;
}

RoutingRecord RecordRouting(const RoutingSetup& setup, const RoutingOptions& options) {
  RoutedDraws draws(setup, options.layers, options.seed);
  std::vector<Choices> layers;
  RoutingRecord r{.layers = options.layers,
                  .experts = setup.gate.experts,
                  .rows = setup.tokens_per_rank() * setup.spread.ranks};
  for (int l = 0; l < options.layers; ++l) {
    layers.push_back(draws.Next());
    for (size_t t = 0; t < layers.back().tokens(); ++t)
      r.top_k = std::max(r.top_k, static_cast<int>(layers.back().ExpertsOf(t).size()));
  }
  for (const Choices& choices : layers) {
    for (size_t t = 0; t < choices.tokens(); ++t) {
      const auto experts = choices.ExpertsOf(t);
      const auto affinities = choices.AffinitiesOf(t);
      r.choices.insert(r.choices.end(), experts.begin(), experts.end());
      r.affinities.insert(r.affinities.end(), affinities.begin(), affinities.end());
      r.choices.insert(r.choices.end(), r.top_k - experts.size(), kNoExpert);
      r.affinities.insert(r.affinities.end(), r.top_k - experts.size(), 0.0f);
    }
  }
  return r;
}

}  // namespace moecast
