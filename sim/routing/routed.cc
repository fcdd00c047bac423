#include "sim/routing/routed.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "costmodel/gating/dropping.h"
#include "costmodel/op_cost.h"

namespace moecast {
namespace {

constexpr int64_t kBlock = 256;  // tokens whose logits stay in the cache until they are chosen from

// Marks things of one token and counts the new ones, without clearing between tokens.
class Seen {
 public:
  explicit Seen(int things) : at_(things, -1) {}
  bool New(int thing, int64_t token) {
    if (at_[thing] == token) return false;
    at_[thing] = token;
    return true;
  }

 private:
  std::vector<int64_t> at_;
};

void CountVisits(const RoutingSetup& setup, RoutedLayer& layer) {
  const int on_rank = setup.gate.experts / setup.ranks;
  layer.rank_visits.assign(setup.ranks, 0.0);
  for (int e = 0; e < setup.gate.experts; ++e) layer.rank_visits[e / on_rank] += layer.expert_visits[e];
}

}  // namespace

RoutingSetup RoutingOf(const Model& model, const Cluster& cluster, const Plan& plan,
                       int64_t sequence_length) {
  const auto group = PlacementOf(plan.parallel).Group({}, {Axis::kEp});
  const auto on_node = std::count_if(
      group.begin(), group.end(), [&](int gpu) { return cluster.NodeOf(gpu) == cluster.NodeOf(group[0]); });
  const auto ranks = static_cast<int>(group.size());
  return {.gate = GateOf(model.moe),
          .load = plan.routing,
          .ranks = ranks,
          .ranks_per_node = static_cast<int>(on_node),
          .sequences = plan.micro_batch,
          .length = std::max<int64_t>(1, sequence_length / plan.parallel.cp),
          .sent_once = on_node > 1 && on_node < ranks ? SentOnce::kPerNode : SentOnce::kPerDevice};
}

LoadSummary SummaryOf(std::span<const double> loads) {
  LoadSummary s;
  if (loads.empty()) return s;
  const auto n = static_cast<double>(loads.size());
  for (const double load : loads) {
    s.mean += load / n;
    s.max = std::max(s.max, load);
  }
  double squares = 0;
  for (const double load : loads) squares += (load - s.mean) * (load - s.mean) / n;
  s.cv = s.mean > 0 ? std::sqrt(squares) / s.mean : 0;
  return s;
}

Choices RouteTokens(const RoutingSetup& setup, const Centroids& centroids, std::span<const uint16_t> clusters,
                    std::span<const float> bias, Random& random) {
  Choices choices;
  std::vector<float> block;
  for (size_t t = 0; t < clusters.size(); t += kBlock) {
    DrawLogits(centroids, clusters.subspan(t, std::min<size_t>(kBlock, clusters.size() - t)), random, block);
    ToAffinities(setup.gate.scoring, setup.gate.experts, block);
    Choose(setup.gate, block, bias, choices);
  }
  return choices;
}

RoutedLayer Measure(const RoutingSetup& setup, const Choices& chosen, int64_t draw) {
  const Gate& gate = setup.gate;
  const auto tokens = static_cast<int64_t>(chosen.tokens());
  MOECAST_CHECK(tokens > 0 && gate.experts % setup.ranks == 0);
  RoutedLayer layer;
  Choices left;
  const Choices* choices = &chosen;
  if (setup.load.capacity_factor) {
    std::vector<bool> stays(chosen.tokens());
    const int64_t first_sequence = draw * setup.sequences * setup.ranks;
    for (int64_t t = 0; t < tokens; ++t)
      stays[t] = IsProtected(first_sequence + t / setup.length, setup.load.never_dropped);
    const std::vector<bool> dropped =
        VisitsToDrop(chosen, gate.experts, setup.dropping_devices(), *setup.load.capacity_factor, stays);
    const std::vector<float> weights = WeightsOf(gate, chosen);
    double lost = 0, all = 0, visits = 0;
    for (size_t i = 0; i < dropped.size(); ++i) {
      all += weights[i];
      if (!dropped[i]) continue;
      visits += 1;
      lost += weights[i];
    }
    layer.dropped = visits / static_cast<double>(std::max<size_t>(1, dropped.size()));
    layer.dropped_weight = all > 0 ? lost / all : 0;
    left = Without(chosen, dropped);
    choices = &left;
  }

  const int ranks = setup.ranks, on_rank = gate.experts / ranks, on_node = setup.ranks_per_node,
            nodes = (ranks + on_node - 1) / on_node;
  layer.expert_visits.assign(gate.experts, 0.0);
  layer.rank_tokens.assign(ranks, 0.0);
  layer.sent.assign(static_cast<size_t>(ranks) * ranks, 0.0);
  Seen rank_seen(ranks), node_seen(nodes);
  const auto send = [&](int from, int to) {
    if (from != to) layer.sent[static_cast<size_t>(from) * ranks + to] += 1;
  };
  double devices = 0, visited_nodes = 0;
  for (int64_t t = 0; t < tokens; ++t) {
    const int from = static_cast<int>(t * ranks / tokens);
    for (const uint16_t expert : choices->ExpertsOf(t)) {
      const int to = expert / on_rank, node = to / on_node;
      layer.expert_visits[expert] += 1;
      const bool new_rank = rank_seen.New(to, t), new_node = node_seen.New(node, t);
      layer.rank_tokens[to] += new_rank;
      devices += new_rank;
      visited_nodes += new_node;
      switch (setup.sent_once) {
        case SentOnce::kPerExpert:
          send(from, to);
          break;
        case SentOnce::kPerDevice:
          if (new_rank) send(from, to);
          break;
        case SentOnce::kPerNode: {
          // The last node may be short of the sender's place; its ranks then take turns.
          const int first = node * on_node, size = std::min(on_node, ranks - first);
          const int relay = node == from / on_node ? from : first + from % on_node % size;
          if (new_node) send(from, relay);
          if (new_rank) send(relay, to);
          break;
        }
      }
    }
  }
  layer.devices_per_token = devices / static_cast<double>(tokens);
  layer.nodes_per_token = visited_nodes / static_cast<double>(tokens);
  CountVisits(setup, layer);
  return layer;
}

RoutedLayer MeasureCounts(const RoutingSetup& setup, std::span<const uint32_t> counts) {
  RoutedLayer layer;
  layer.expert_visits.assign(counts.begin(), counts.end());
  if (setup.load.capacity_factor) {
    // Tokens are not told apart, so a device loses alike of each of its experts.
    const int devices = setup.dropping_devices(), on_device = setup.gate.experts / devices;
    double all = 0, kept = 0;
    for (const uint32_t count : counts) all += count;
    for (int d = 0; d < devices; ++d) {
      const std::span<double> experts(layer.expert_visits.data() + static_cast<size_t>(d) * on_device,
                                      on_device);
      double visits = 0;
      for (const double v : experts) visits += v;
      const double stay =
          std::max(*setup.load.capacity_factor * all / devices, visits * setup.load.never_dropped);
      if (visits > stay)
        for (double& v : experts) v *= stay / visits;
      kept += std::min(visits, stay);
    }
    layer.dropped = all > 0 ? 1 - kept / all : 0;
  }
  CountVisits(setup, layer);
  return layer;
}

RoutedDraws::RoutedDraws(const RoutingSetup& setup, int layers, uint64_t seed)
    : setup_(setup), random_(seed) {
  Centroids now = FirstLayer(setup_.mix(), setup_.gate.experts, random_);
  for (int l = 0; l < layers; ++l) {
    if (l > 0) GoToNextLayer(setup_.mix(), random_, now);
    layers_.push_back(now);
  }
}

Choices RoutedDraws::Next() {
  if (layer_ == 0)
    clusters_ = DrawClusters(setup_.mix(), setup_.sequences * setup_.ranks, setup_.length, random_);
  const Centroids& centroids = layers_[layer_];
  layer_ = (layer_ + 1) % layers_.size();
  return RouteTokens(setup_, centroids, clusters_, {}, random_);
}

ExpertLoad LoadOfTokens(const RoutingSetup& setup) {
  if (!setup.load.tokens) return LoadOf(setup.load, setup.ranks);
  // As many as a quarter of a million tokens make, at most 16. Draws differ by their tokens, which large groups
  // average out, and by the layers' centroids, of which there are at least four. The seed is fixed: the load
  // is a figure of the scenario.
  const int64_t tokens = setup.tokens_per_rank() * setup.ranks;
  const int draws = static_cast<int>(std::clamp<int64_t>((1 << 18) / tokens, 4, 16));
  RoutedDraws drawn(setup, draws, KeyOf("routing", 1));
  ExpertLoad load{.kept = 0, .slowest = 0};
  for (int d = 0; d < draws; ++d) {
    const Choices choices = drawn.Next();
    const RoutedLayer layer = Measure(setup, choices, d);
    const double balanced = static_cast<double>(choices.expert.size()) / setup.ranks;
    load.kept += (1 - layer.dropped) / draws;
    load.slowest += SummaryOf(layer.rank_visits).max / balanced / draws;
  }
  return load;
}

double DistinctExperts(const Choices& choices, int experts, int64_t batch) {
  const auto tokens = static_cast<int64_t>(choices.tokens());
  MOECAST_CHECK(batch >= 1 && batch <= tokens);
  const int64_t batches = tokens / batch;
  Seen seen(experts);
  double distinct = 0;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t t = 0; t < batch; ++t)
      for (const uint16_t expert : choices.ExpertsOf(b + t * batches)) distinct += seen.New(expert, b);
  return distinct / static_cast<double>(batches);
}

}  // namespace moecast
