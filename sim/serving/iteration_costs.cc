#include "sim/serving/iteration_costs.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "sim/engine/costed_ops.h"

namespace moecast {
namespace {

// Between two times, `part` of the way.
BlockTime Between(const BlockTime& a, const BlockTime& b, double part) {
  BlockTime t = a * (1 - part);
  t += b * part;
  return t;
}

// Knots of a quantity at kPerOctave to a doubling; knot 0 is 1.
constexpr int kPerOctave = 16;
double AtKnot(int64_t knot) {
  return std::exp2(static_cast<double>(knot) / kPerOctave);
}
struct Place {
  int64_t knot;
  double part;  // of the way to the next
};
Place PlaceOf(double x) {
  const auto knot =
      std::max<int64_t>(0, static_cast<int64_t>(std::floor(std::log2(x) * kPerOctave)));
  const double low = AtKnot(knot), high = AtKnot(knot + 1);
  return {knot, std::clamp((x - low) / (high - low), 0.0, 1.0)};
}

// What parts have in an iteration, in order.
std::vector<Work> PartsOf(const IterationWork& work, const ExpertLoad& load) {
  std::vector<Work> parts;
  for (const Work* part : {&work.prefill, &work.decode})
    if (part->tokens > 0) {
      parts.push_back(*part);
      parts.back().load = load;
    }
  return parts;
}

}  // namespace

IterationCosts::IterationCosts(const Model& model, const ShardPlan& shard, const ExpertLoad& load,
                               const OpCosts& costs)
    : model_(model), shard_(shard), load_(load), costs_(costs) {
  pieces_.push_back({BlockKind::kEmbedding, 1});
  for (const auto& [layer, block] : {std::pair(LayerKind::kDense, BlockKind::kDense),
                                     std::pair(LayerKind::kMoe, BlockKind::kMoe)})
    if (const int count = model.layers(layer); count > 0) pieces_.push_back({block, count});
  pieces_.push_back({BlockKind::kHead, 1});
  layers_ = model.layers();
}

// Experts get the mean of what the ranks send; a rank's own port carries what it sends or what it
// receives, whichever is more.
ExpertLoad IterationCosts::LoadOf(const IterationWork& work) const {
  const double ratio = work.mean_tokens / static_cast<double>(work.tokens());
  ExpertLoad load = load_;
  for (Share* share : {&load.visits, &load.tokens}) {
    share->mean *= ratio;
    share->most *= ratio;
  }
  load.bytes.mean *= std::max(1.0, ratio);
  load.bytes.most *= std::max(1.0, ratio);
  return load;
}

BlockTime IterationCosts::SolvedOf(BlockKind kind, std::span<const Work> parts) const {
  return TimeOf(
      CostedBy(OpsOf(kind, model_, shard_, costs_.spread().uniform, parts), false, costs_));
}

BlockTime IterationCosts::TimeOf(const CostedOps& block) {
  std::vector<Seconds> times;
  times.reserve(block.costs.size());
  for (const Cost& cost : block.costs) times.push_back(cost.time);
  return SolveBlock(block, times);
}

CostedOps IterationCosts::OpsIn(BlockKind kind, const IterationWork& work) const {
  return CostedBy(OpsOf(kind, model_, shard_, costs_.spread().uniform, PartsOf(work, LoadOf(work))),
                  false, costs_);
}

BlockTime IterationCosts::Direct(const IterationWork& work) const {
  BlockTime all;
  for (const Piece& piece : pieces_) all += TimeOf(OpsIn(piece.kind, work)) * piece.count;
  return all;
}

// Its ops run one after another on the compute stream, with nothing beside them.
BlockTime IterationCosts::AttentionOf(const Work& part) const {
  BlockTime t;
  for (const Op& op : AttentionOpsOf(model_, shard_, costs_.spread().uniform, part)) {
    const Seconds time = costs_.Of(op).time;
    t.total += time;
    t.busy[static_cast<size_t>(op.op_class())] += time;
  }
  return t;
}

// All layers and the embedding without attention, where the ranks' mean of tokens is at a knot.
const BlockTime& IterationCosts::RestAt(int64_t tokens, int64_t knot) {
  const auto [at, fresh] =
      rest_.try_emplace(static_cast<uint64_t>(tokens) << 16 | static_cast<uint64_t>(knot));
  if (!fresh) return at->second;
  const Prompt prompt{tokens, tokens};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = shard_.dp > 1 ? AtKnot(knot) : static_cast<double>(tokens);
  const std::vector<Work> parts = PartsOf(work, LoadOf(work));
  BlockTime rest;
  for (const Piece& piece : pieces_)
    if (piece.kind != BlockKind::kHead) rest += SolvedOf(piece.kind, parts) * piece.count;
  rest += AttentionOf(parts.front()) * -layers_;
  return at->second = rest;
}

BlockTime IterationCosts::Rest(int64_t tokens, double mean_tokens) {
  if (shard_.dp == 1) return RestAt(tokens, 0);
  const Place place = PlaceOf(mean_tokens);
  const BlockTime low = RestAt(tokens, place.knot);
  return Between(low, RestAt(tokens, place.knot + 1), place.part);
}

BlockTime IterationCosts::Decode(const Work& part) {
  const auto n = static_cast<size_t>(part.sequences);
  if (decode_.size() <= n) decode_.resize(n + 1);
  const Place place = PlaceOf(static_cast<double>(part.context_sum) / static_cast<double>(n));
  const auto at = [&](int64_t knot) -> const BlockTime& {
    auto& knots = decode_[n];
    const auto k = static_cast<size_t>(knot);
    if (knots.size() <= k) knots.resize(k + 2);
    if (knots[k]) return *knots[k];
    Work work = part;
    work.context_sum = std::llround(AtKnot(knot) * static_cast<double>(n));
    work.query_key_pairs = work.context_sum;
    return knots[k].emplace(AttentionOf(work));
  };
  const BlockTime low = at(place.knot);
  return Between(low, at(place.knot + 1), place.part);
}

const BlockTime& IterationCosts::HeadOf(int64_t sequences) {
  const auto n = static_cast<size_t>(sequences);
  if (heads_.size() <= n) heads_.resize(n + 1);
  if (heads_[n]) return *heads_[n];
  Work work{.pass = Pass::kDecode, .sequences = sequences, .tokens = sequences};
  work.query_key_pairs = work.context_sum = sequences;
  return heads_[n].emplace(SolvedOf(BlockKind::kHead, {&work, 1}));
}

BlockTime IterationCosts::Of(const IterationWork& work) {
  MOECAST_CHECK(work.tokens() > 0);
  BlockTime t = Rest(work.tokens(), work.mean_tokens);
  t += HeadOf(work.sequences());
  if (work.prefill.tokens > 0) t += AttentionOf(work.prefill) * layers_;
  if (work.decode.tokens > 0) t += Decode(work.decode) * layers_;
  return t;
}

double IterationCosts::Sigma(const IterationWork& work) const {
  BySource<double> by_source(costs_.sources()->size());
  std::map<uint64_t, double> by_curve;
  double own = 0, total = 0;
  for (const Piece& piece : pieces_) {
    const CostedOps block = OpsIn(piece.kind, work);
    for (const Cost& cost : block.costs) {
      const double time = cost.time.value * piece.count;
      by_source[cost.source] += time * cost.sigma_table;
      by_curve[cost.curve] += time * cost.sigma_curve;
      own += time * cost.sigma_own * time * cost.sigma_own;
    }
    total += TimeOf(block).total.value * piece.count;
  }
  double variance = own;
  for (const SourceId source : costs_.sources()->ids())
    variance += by_source[source] * by_source[source];
  for (const auto& [curve, off] : by_curve) variance += off * off;
  return std::sqrt(variance) / total;
}

double IterationCosts::ExtrapolatedFraction(const IterationWork& work) const {
  double outside = 0, all = 0;
  for (const Piece& piece : pieces_) {
    const CostedOps block = OpsIn(piece.kind, work);
    for (const Cost& cost : block.costs) {
      all += piece.count * cost.time.value;
      if (cost.extrapolated) outside += piece.count * cost.time.value;
    }
  }
  return outside / all;
}

}  // namespace moecast
