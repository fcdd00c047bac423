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

uint64_t KeyOf(int64_t tokens, int64_t knot) {
  return static_cast<uint64_t>(tokens) << 16 | static_cast<uint64_t>(knot);
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

// One token of each decoding sequence, and of the ranks together so many fewer.
IterationWork DraftsOn(const IterationWork& work) {
  IterationWork drafts;
  if (work.decode.tokens == 0) return drafts;
  drafts.decode = DecodeOf(work.decode.sequences, work.decode.context_sum, 1);
  drafts.mean_tokens = std::max(1.0, work.mean_tokens * static_cast<double>(drafts.decode.tokens) /
                                         static_cast<double>(work.tokens()));
  return drafts;
}

}  // namespace

IterationCosts::IterationCosts(const Model& model, const ShardPlan& shard, const ExpertLoad& load,
                               int drafts, const OpCosts& costs)
    : model_(model), shard_(shard), load_(load), costs_(costs), drafts_(drafts) {
  pieces_.push_back({BlockKind::kEmbedding, 1});
  for (const auto& [layer, block] : {std::pair(LayerKind::kDense, BlockKind::kDense),
                                     std::pair(LayerKind::kMoe, BlockKind::kMoe)})
    if (const int count = model.layers(layer); count > 0) pieces_.push_back({block, count});
  pieces_.push_back({BlockKind::kHead, 1});
  layers_ = model.layers();
  if (drafts == 0) return;
  pieces_.push_back({BlockKind::kMtp, 1});
  if (drafts > 1) pieces_.push_back({BlockKind::kMtp, drafts - 1, true});
  ++layers_;
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

CostedOps IterationCosts::OpsIn(const Piece& piece, const IterationWork& work) const {
  const IterationWork of_piece = piece.drafts_on ? DraftsOn(work) : work;
  if (of_piece.tokens() == 0) return {};
  return CostedBy(OpsOf(piece.kind, model_, shard_, costs_.spread().uniform,
                        PartsOf(of_piece, LoadOf(of_piece))),
                  false, costs_);
}

BlockTime IterationCosts::Direct(const IterationWork& work) const {
  BlockTime all;
  for (const Piece& piece : pieces_) all += TimeOf(OpsIn(piece, work)) * piece.count;
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

// All layers and the embedding without attention and head, once for what has no experts: it does
// not know the other ranks. The MTP module ends in the head too.
BlockTime IterationCosts::RestOf(int64_t tokens, double mean_tokens, bool drafts_on) {
  const Prompt prompt{tokens, tokens};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = mean_tokens;
  const std::vector<Work> parts = PartsOf(work, LoadOf(work));
  const auto [alike, fresh] = alike_[drafts_on].try_emplace(tokens);
  BlockTime rest;
  for (const Piece& piece : pieces_) {
    if (piece.kind == BlockKind::kHead || piece.drafts_on != drafts_on) continue;
    if (piece.kind == BlockKind::kMoe || piece.kind == BlockKind::kMtp)
      rest += SolvedOf(piece.kind, parts) * piece.count;
    else if (fresh)
      alike->second += SolvedOf(piece.kind, parts) * piece.count;
    if (piece.kind == BlockKind::kMtp && fresh) alike->second += HeadOf(1) * -piece.count;
  }
  if (fresh) alike->second += AttentionOf(parts.front()) * -(drafts_on ? drafts_ - 1 : layers_);
  rest += alike->second;
  return rest;
}

const BlockTime& IterationCosts::RestAt(int64_t tokens, int64_t knot, bool drafts_on) {
  const auto [at, fresh] = rest_[drafts_on].try_emplace(KeyOf(tokens, knot));
  if (fresh)
    at->second =
        RestOf(tokens, shard_.dp > 1 ? AtKnot(knot) : static_cast<double>(tokens), drafts_on);
  return at->second;
}

// A grouped product takes a step where its experts' rows need a larger tile. It is between two
// knots where the middle is not half way, and is found by halving, in the half that rises more.
const IterationCosts::Step& IterationCosts::StepAt(int64_t tokens, int64_t knot, bool drafts_on) {
  constexpr double kHalfWay = 1e-3;
  constexpr int kHalvings = 14;
  const auto [found, fresh] = steps_[drafts_on].try_emplace(KeyOf(tokens, knot));
  Step& step = found->second;
  if (!fresh) return step;
  double low = AtKnot(knot), high = AtKnot(knot + 1);
  step.below = RestAt(tokens, knot, drafts_on);
  step.above = RestAt(tokens, knot + 1, drafts_on);
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    const BlockTime there = RestOf(tokens, middle, drafts_on);
    const double rise = there.total.value - step.below.total.value,
                 further = step.above.total.value - there.total.value;
    if (i == 0 && std::abs(rise - further) / 2 < kHalfWay * there.total.value) return step;
    const bool first_half = std::abs(rise) > std::abs(further);
    (first_half ? high : low) = middle;
    (first_half ? step.above : step.below) = there;
  }
  step.at = high;
  return step;
}

BlockTime IterationCosts::Rest(int64_t tokens, double mean_tokens, bool drafts_on) {
  if (shard_.dp == 1) return RestAt(tokens, 0, drafts_on);
  const Place place = PlaceOf(mean_tokens);
  const Step& step = StepAt(tokens, place.knot, drafts_on);
  const BlockTime& low = RestAt(tokens, place.knot, drafts_on);
  const BlockTime& high = RestAt(tokens, place.knot + 1, drafts_on);
  if (step.at == 0) return Between(low, high, place.part);
  const double from = AtKnot(place.knot), to = AtKnot(place.knot + 1);
  const double mean = from + place.part * (to - from);
  return mean < step.at ? Between(low, step.below, (mean - from) / (step.at - from))
                        : Between(step.above, high, (mean - step.at) / (to - step.at));
}

BlockTime IterationCosts::Decode(const Work& part) {
  const auto n = static_cast<size_t>(part.sequences);
  const int64_t queries = part.tokens / part.sequences;
  auto& of_queries = decode_[queries > 1];
  if (of_queries.size() <= n) of_queries.resize(n + 1);
  const Place place = PlaceOf(static_cast<double>(part.context_sum) / static_cast<double>(n));
  const auto at = [&](int64_t knot) -> const BlockTime& {
    auto& knots = of_queries[n];
    const auto k = static_cast<size_t>(knot);
    if (knots.size() <= k) knots.resize(k + 2);
    if (knots[k]) return *knots[k];
    const auto contexts = std::llround(AtKnot(knot) * static_cast<double>(n));
    return knots[k].emplace(AttentionOf(DecodeOf(part.sequences, contexts, queries)));
  };
  const BlockTime low = at(place.knot);
  return Between(low, at(place.knot + 1), place.part);
}

const BlockTime& IterationCosts::HeadOf(int64_t rows) {
  const auto n = static_cast<size_t>(rows);
  if (heads_.size() <= n) heads_.resize(n + 1);
  if (heads_[n]) return *heads_[n];
  const Work work = DecodeOf(rows, rows, 1);
  return heads_[n].emplace(SolvedOf(BlockKind::kHead, {&work, 1}));
}

BlockTime IterationCosts::Of(const IterationWork& work) {
  MOECAST_CHECK(work.tokens() > 0);
  BlockTime t = Rest(work.tokens(), work.mean_tokens, false);
  t += HeadOf(work.prefill.sequences + work.decode.tokens) * (drafts_ > 0 ? 2 : 1);
  if (work.prefill.tokens > 0) t += AttentionOf(work.prefill) * layers_;
  if (work.decode.tokens > 0) t += Decode(work.decode) * layers_;
  if (drafts_ < 2 || work.decode.tokens == 0) return t;
  const IterationWork on = DraftsOn(work);
  t += Rest(on.tokens(), on.mean_tokens, true);
  t += HeadOf(on.tokens()) * (drafts_ - 1);
  t += Decode(on.decode) * (drafts_ - 1);
  return t;
}

double IterationCosts::Sigma(const IterationWork& work) const {
  BySource<double> by_source(costs_.sources()->size());
  std::map<uint64_t, double> by_curve;
  double own = 0, total = 0;
  for (const Piece& piece : pieces_) {
    const CostedOps block = OpsIn(piece, work);
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
    const CostedOps block = OpsIn(piece, work);
    for (const Cost& cost : block.costs) {
      all += piece.count * cost.time.value;
      if (cost.extrapolated) outside += piece.count * cost.time.value;
    }
  }
  return outside / all;
}

}  // namespace moecast
