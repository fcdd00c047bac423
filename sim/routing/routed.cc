#include "sim/routing/routed.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "costmodel/collectives/algorithms.h"
#include "costmodel/gating/dropping.h"
#include "topology/traffic.h"

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
  const int on_rank = setup.gate.experts / setup.spread.ranks;
  layer.rank_visits.assign(setup.spread.ranks, 0.0);
  for (int e = 0; e < setup.gate.experts; ++e)
    layer.rank_visits[e / on_rank] += layer.expert_visits[e];
}

ExpertLoads WithMean(int layers, int micro_batches, std::vector<ExpertLoad> at) {
  return {
      .mean = MeanOf(at), .layers = layers, .micro_batches = micro_batches, .at = std::move(at)};
}

}  // namespace

RoutingSetup RoutingOf(const Model& model, const Cluster& cluster, const ShardPlan& shard,
                       const Placement& placement, const RoutingLoad& routing,
                       const ExpertSpread& spread) {
  Gate gate = GateOf(RoutedBy(routing.topk_group, model.moe));
  const std::vector<int> group = placement.Group({}, placement.ExpertAxes());
  const Routes routes(cluster);
  const std::vector<EvenSends> sends = DispatchOf(shard.collectives, group, routes)
                                           .even({.kind = CollectiveKind::kDispatch,
                                                  .group = group,
                                                  .bytes = Bytes(1),
                                                  .spread = spread.uniform},
                                                 routes);
  const LinkCosts tokens = LinkCostsOf(sends.front().steps, cluster);
  gate.top_p = routing.top_p.value_or(0);
  return {.gate = gate,
          .load = routing,
          .spread = spread,
          .nvlink = SlowestPortRate(cluster, Port::kNvlinkOut) / tokens.nvlink,
          .network = SlowestPortRate(cluster, Port::kNicOut) * cluster.nics() /
                     (cluster.gpus_per_node * tokens.network),
          .in_turn = sends.size() > 1};
}

RoutingSetup RoutingOf(const Model& model, const Cluster& cluster, const Plan& plan,
                       const ExpertSpread& spread, int64_t sequence_length) {
  RoutingSetup setup =
      RoutingOf(model, cluster, ShardOf(plan), PlacementOf(plan.parallel), plan.routing, spread);
  const int senders = plan.parallel.cp * (plan.parallel.whole_experts() ? plan.parallel.tp : 1);
  setup.sequences = plan.micro_batch;
  setup.length = std::max<int64_t>(1, sequence_length / senders);
  return setup;
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

Choices RouteTokens(const RoutingSetup& setup, const Centroids& centroids,
                    std::span<const uint16_t> clusters, std::span<const float> bias,
                    Random& random) {
  Choices choices;
  std::vector<float> block;
  const std::vector<float> popularities = PopularitiesOf(centroids);
  for (size_t t = 0; t < clusters.size(); t += kBlock) {
    DrawOdds(popularities, setup.gate.experts,
             clusters.subspan(t, std::min<size_t>(kBlock, clusters.size() - t)), random, block);
    OddsToAffinities(*setup.gate.scoring, setup.gate.experts, block);
    Choose(setup.gate, block, bias, choices);
  }
  return choices;
}

RoutedLayer Measure(const RoutingSetup& setup, const Choices& chosen, int64_t draw) {
  const Gate& gate = setup.gate;
  const auto tokens = static_cast<int64_t>(chosen.tokens());
  MOECAST_CHECK(tokens > 0 && gate.experts % setup.spread.ranks == 0);
  RoutedLayer layer{.tokens = static_cast<double>(tokens)};
  Choices left;
  const Choices* choices = &chosen;
  if (setup.load.capacity_factor) {
    std::vector<bool> stays(chosen.tokens());
    const int64_t first_sequence = draw * setup.sequences * setup.spread.ranks;
    for (int64_t t = 0; t < tokens; ++t)
      stays[t] = IsProtected(first_sequence + t / setup.length, setup.load.never_dropped);
    const std::vector<bool> dropped = VisitsToDrop(chosen, gate.experts, setup.dropping_devices(),
                                                   *setup.load.capacity_factor, stays);
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

  const int ranks = setup.spread.ranks;
  const int on_rank = gate.experts / ranks;
  const int on_node = setup.spread.ranks_per_node;
  const int nodes = (ranks + on_node - 1) / on_node;
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
      switch (setup.spread.sent_once) {
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
  for (const uint32_t count : counts) layer.tokens += static_cast<double>(count) / setup.gate.top_k;
  if (setup.load.capacity_factor) {
    // Tokens are not told apart, so a device loses alike of each of its experts.
    const int devices = setup.dropping_devices(), on_device = setup.gate.experts / devices;
    double all = 0, kept = 0;
    for (const uint32_t count : counts) all += count;
    for (int d = 0; d < devices; ++d) {
      const std::span<double> experts(
          layer.expert_visits.data() + static_cast<size_t>(d) * on_device, on_device);
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

RoutedDraws::RoutedDraws(const RoutingSetup& setup, int layers, uint64_t seed,
                         std::optional<uint64_t> of_tokens)
    : setup_(setup), random_(seed) {
  Centroids now = FirstLayer(setup_.mix(), setup_.gate.experts, random_);
  for (int l = 0; l < layers; ++l) {
    if (l > 0) GoToNextLayer(setup_.mix(), random_, now);
    layers_.push_back(now);
  }
  if (of_tokens) random_ = Random(*of_tokens);
}

Choices RoutedDraws::Next() {
  if (layer_ == 0)
    clusters_ =
        DrawClusters(setup_.mix(), setup_.sequences * setup_.spread.ranks, setup_.length, random_);
  const Centroids& centroids = layers_[layer_];
  layer_ = (layer_ + 1) % layers_.size();
  return RouteTokens(setup_, centroids, clusters_, {}, random_);
}

ExpertLoad LoadOf(const RoutingSetup& setup, const RoutedLayer& layer) {
  const int ranks = setup.spread.ranks;
  const int local = std::min(setup.spread.ranks_per_node, ranks);
  const int nodes = ranks / local;
  const double each = layer.tokens / ranks;  // tokens
  const auto over = [](const std::vector<double>& of_ranks, double even) {
    const LoadSummary s = SummaryOf(of_ranks);
    return even > 0 ? Share{s.mean / even, s.max / even} : Share{};
  };
  ExpertLoad load{.visits = over(layer.rank_visits, each * setup.gate.top_k)};
  load.tokens = load.bytes = load.visits;
  const int experts = setup.gate.experts, on_rank = experts / ranks;
  std::vector<double> hit(static_cast<size_t>(ranks));
  for (int e = 0; e < experts; ++e) hit[e / on_rank] += layer.expert_visits[e] > 0;
  load.hit = over(hit, ExpertsHit(on_rank, static_cast<double>(setup.gate.top_k) / experts,
                                  layer.tokens * load.visits.most));
  if (layer.sent.empty()) return load;
  load.tokens = over(layer.rank_tokens, each * setup.spread.uniform.devices);

  // Of two ports for tokens of a byte: the slower one's time, or that of one after the other.
  const auto time = [&](double nvlink, double network) {
    const double a = nvlink / setup.nvlink.value, b = network / setup.network.value;
    return setup.in_turn ? a + b : std::max(a, b);
  };
  // As of the algorithms of costmodel/collectives/expert_all_to_all.cc.
  const TokenSpread& uniform = setup.spread.uniform;
  const bool to_experts = setup.spread.sent_once == SentOnce::kPerExpert;
  const double to_rank = (to_experts ? uniform.experts : uniform.devices) / ranks;
  const double even =
      each * (setup.spread.sent_once == SentOnce::kPerNode
                  ? time(nodes * (local - 1) * to_rank, (nodes - 1) * uniform.nodes / nodes)
                  : time((local - 1) * to_rank, (ranks - local) * to_rank));
  if (even == 0) {
    load.bytes = {};
    return load;
  }
  double most_nvlink = 0, most_network = 0, all_nvlink = 0, all_network = 0;
  for (int r = 0; r < ranks; ++r) {
    double out[2] = {}, in[2] = {};  // NVLink, network
    for (int other = 0; other < ranks; ++other) {
      const bool network = r / setup.spread.ranks_per_node != other / setup.spread.ranks_per_node;
      out[network] += layer.sent[static_cast<size_t>(r) * ranks + other];
      in[network] += layer.sent[static_cast<size_t>(other) * ranks + r];
    }
    most_nvlink = std::max({most_nvlink, out[0], in[0]});
    most_network = std::max({most_network, out[1], in[1]});
    all_nvlink += out[0];
    all_network += out[1];
  }
  load.bytes = {time(all_nvlink, all_network) / ranks / even,
                time(most_nvlink, most_network) / even};
  return load;
}

Choices ChoicesOf(const RoutingRecord& r, int layer) {
  Choices choices;
  const size_t first = static_cast<size_t>(layer) * r.rows * r.top_k;
  for (int64_t token = 0; token < r.rows; ++token) {
    for (int k = 0; k < r.top_k; ++k) {
      const size_t i = first + static_cast<size_t>(token) * r.top_k + k;
      if (r.choices[i] == kNoExpert) break;
      choices.expert.push_back(r.choices[i]);
      // Without affinities the order is what is known: a later choice goes before an earlier one.
      choices.affinity.push_back(r.affinities.empty() ? 1.0f / static_cast<float>(1 + k)
                                                      : r.affinities[i]);
    }
    choices.begin.push_back(static_cast<uint32_t>(choices.expert.size()));
  }
  return choices;
}

std::span<const uint32_t> CountsOf(const RoutingRecord& r, int layer, int64_t micro_batch) {
  return std::span(r.counts).subspan(
      (static_cast<size_t>(layer) * r.rows + micro_batch) * r.experts, r.experts);
}

ExpertLoads LoadsOf(const RoutingSetup& setup, int layers) {
  if (!setup.load.tokens) return {.mean = LoadOf(setup.load, setup.spread.ranks)};
  // As many draws as half a million tokens make, at least eight: of every layer in sixteen
  // micro-batches, or of a part of the layers in four. The seed is fixed: the loads are figures of
  // the scenario.
  const int64_t tokens = setup.tokens_per_rank() * setup.spread.ranks;
  const int draws =
      static_cast<int>(std::clamp<int64_t>((1 << 19) / tokens, 8, int64_t{16} * layers));
  const int micro_batches = std::clamp(draws / layers, 4, 16),
            routed = std::min(layers, draws / micro_batches);
  RoutedDraws drawn(setup, routed, KeyOf("routing", 1));
  std::vector<ExpertLoad> at;
  for (int d = 0; d < routed * micro_batches; ++d)
    at.push_back(LoadOf(setup, Measure(setup, drawn.Next(), d)));
  return WithMean(routed, micro_batches, std::move(at));
}

ExpertLoads LoadsOf(const RoutingSetup& setup, const RoutingRecord& record) {
  const int micro_batches = record.has_choices() ? 1 : static_cast<int>(record.rows);
  std::vector<ExpertLoad> at;
  for (int m = 0; m < micro_batches; ++m)
    for (int l = 0; l < record.layers; ++l)
      at.push_back(LoadOf(setup, record.has_choices()
                                     ? Measure(setup, ChoicesOf(record, l), l)
                                     : MeasureCounts(setup, CountsOf(record, l, m))));
  return WithMean(record.layers, micro_batches, std::move(at));
}

double DistinctExperts(const Choices& choices, int experts, int64_t batch) {
  const auto tokens = static_cast<int64_t>(choices.tokens());
  MOECAST_CHECK(batch >= 1 && batch <= tokens);
  const int64_t batches = tokens / batch;
  Seen seen(experts);
  double distinct = 0;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t t = 0; t < batch; ++t)
      for (const uint16_t expert : choices.ExpertsOf(b + t * batches))
        distinct += seen.New(expert, b);
  return distinct / static_cast<double>(batches);
}

}  // namespace moecast
