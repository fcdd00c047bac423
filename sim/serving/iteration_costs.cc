#include "sim/serving/iteration_costs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

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

// Times of attention have knots from here on.
constexpr double kLeastAttention = 1e-7;

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

// So many layers alike of two batches that go through them beside each other, each in its own
// order.
CostedOps TwiceBeside(const CostedOps& layer, int layers) {
  const CostedOps nothing;
  const std::vector<const CostedOps*> one(static_cast<size_t>(layers), &layer),
      none(static_cast<size_t>(layers), &nothing);
  return Overlapped(one, one, none);
}

int64_t HalfOf(int64_t n) {
  return (n + 1) / 2;
}

// Of a part's sequences every second; of one its tokens, as in two chunks.
Work HalfOf(const Work& part) {
  Work half = part;
  half.sequences = HalfOf(part.sequences);
  half.tokens = part.pass == Pass::kDecode && part.sequences > 0
                    ? half.sequences * (part.tokens / part.sequences)
                    : HalfOf(part.tokens);
  half.query_key_pairs = HalfOf(part.query_key_pairs);
  half.context_sum = std::max(half.tokens, part.sequences > 1 ? HalfOf(part.context_sum)
                                                              : part.context_sum - part.tokens / 4);
  return half;
}

IterationWork HalfOf(const IterationWork& work) {
  return {HalfOf(work.prefill), HalfOf(work.decode), std::max(1.0, work.mean_tokens / 2)};
}

}  // namespace

IterationCosts::IterationCosts(const Model& model, const ShardPlan& shard, RankLoads loads,
                               int drafts, std::vector<ServingStage> stages, const OpCosts& costs)
    : model_(model),
      shard_(shard),
      loads_(std::move(loads)),
      costs_(costs),
      stages_(std::move(stages)),
      drafts_(drafts) {
  MOECAST_CHECK(!stages_.empty() && (drafts == 0 || stages_.size() == 1));
  for (int s = 0; s < this->stages(); ++s) {
    const ServingStage& layers = stages_[static_cast<size_t>(s)];
    const auto add = [&](BlockKind kind, int count, bool drafts_on = false) {
      if (count > 0) pieces_.push_back({kind, count, drafts_on, s});
    };
    add(BlockKind::kEmbedding, s == 0);
    add(BlockKind::kDense, layers.dense);
    add(BlockKind::kMoe, layers.moe);
    if (s + 1 < this->stages()) continue;
    add(BlockKind::kHead, 1);
    add(BlockKind::kMtp, drafts > 0);
    add(BlockKind::kMtp, drafts - 1, true);
  }
  attend_.resize(stages_.size());
  for (const Piece& piece : pieces_)
    for (size_t rows = 0; rows < kRows; ++rows)
      if (Has(piece.stage, static_cast<Rows>(rows), piece) && piece.kind != BlockKind::kEmbedding)
        attend_[static_cast<size_t>(piece.stage)][rows] += piece.count;
}

uint64_t IterationCosts::Key::With(int64_t knot) const {
  return static_cast<uint64_t>(stage) << 56 | static_cast<uint64_t>(tokens) << 32 |
         static_cast<uint64_t>(attention) << 16 | static_cast<uint64_t>(knot);
}

bool IterationCosts::Has(int stage, Rows rows, const Piece& piece) const {
  if (piece.stage != stage || piece.kind == BlockKind::kHead) return false;
  if (OfHalves(rows)) return piece.kind == BlockKind::kMoe;
  return piece.drafts_on == (rows == Rows::kDraftsOn) &&
         !(rows == Rows::kUndivided && piece.kind == BlockKind::kMoe);
}

// Experts get the mean of what the ranks send; a rank's own port carries what it sends or what it
// receives, whichever is more.
ExpertLoad IterationCosts::LoadOf(const IterationWork& work) const {
  const double ratio = work.mean_tokens / static_cast<double>(work.tokens());
  ExpertLoad load = loads_.Of(work.mean_tokens * shard_.dp / shard_.ep);
  for (Share* share : {&load.visits, &load.tokens}) {
    share->mean *= ratio;
    share->most *= ratio;
  }
  load.bytes.mean *= std::max(1.0, ratio);
  load.bytes.most *= std::max(1.0, ratio);
  return load;
}

CostedOps IterationCosts::CostedOf(BlockKind kind, std::span<const Work> parts,
                                   bool overlaps) const {
  return CostedBy(OpsOf(kind, model_, shard_, costs_.spread().uniform, parts), overlaps, costs_);
}

BlockTime IterationCosts::TimeOf(const CostedOps& block) {
  std::vector<Seconds> times;
  times.reserve(block.costs.size());
  for (const Cost& cost : block.costs) times.push_back(cost.time);
  return SolveBlock(block, times);
}

CostedOps IterationCosts::OpsIn(const Piece& piece, const IterationWork& work) const {
  const bool halved = work.halved && piece.kind == BlockKind::kMoe;
  const IterationWork of_piece = halved ? HalfOf(work) : piece.drafts_on ? DraftsOn(work) : work;
  if (of_piece.tokens() == 0) return {};
  const CostedOps ops = CostedOf(piece.kind, PartsOf(of_piece, LoadOf(of_piece)), halved);
  return halved ? TwiceBeside(ops, 1) : ops;
}

BlockTime IterationCosts::Direct(const IterationWork& work) {
  BlockTime all;
  for (const Piece& piece : pieces_) {
    if (work.halved && piece.kind == BlockKind::kMoe) {
      const IterationWork half = HalfOf(work);
      const CostedOps layer = CostedOf(piece.kind, PartsOf(half, LoadOf(half)), true);
      all += TimeOf(TwiceBeside(layer, piece.count));
    } else {
      all += TimeOf(OpsIn(piece, work)) * piece.count;
    }
  }
  all.total += SendOf(work) * (stages() - 1);
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

// A part of so many tokens whose attention takes about so long: of one prompt, by what it has in
// the cache, or of decodes by their contexts; the shortest where that takes longer.
Work IterationCosts::AttendsFor(Seconds time, Pass pass, int64_t tokens) const {
  const auto with = [&](int64_t context) {
    const Prompt prompt{tokens, tokens + context};
    return pass == Pass::kDecode ? DecodeOf(tokens, tokens * (1 + context), 1)
                                 : PrefillOf({&prompt, 1});
  };
  int64_t low = 0, high = model_.max_position;
  while (high - low > 1 + low / 64) {
    const int64_t middle = low + (high - low) / 2;
    (AttentionOf(with(middle)).total < time ? low : high) = middle;
  }
  return with(low);
}

// All layers in halves, from a few of them: from the second on each takes as long as the next.
BlockTime IterationCosts::HalvesOf(const Key& key, double mean_tokens) {
  constexpr int kFew = 2, kMore = 4;
  const Seconds attends(AtKnot(key.attention) * kLeastAttention);
  const bool decodes = key.rows == Rows::kHalvesOfDecodes;
  IterationWork half;
  (decodes ? half.decode : half.prefill) =
      AttendsFor(attends, decodes ? Pass::kDecode : Pass::kPrefill, key.tokens);
  half.mean_tokens = mean_tokens;
  const std::vector<Work> parts = PartsOf(half, LoadOf(half));
  CostedOps ops = CostedOf(BlockKind::kMoe, parts, true);
  const double part = attends / AttentionOf(parts.front()).total;
  const std::vector<Op> attention =
      AttentionOpsOf(model_, shard_, costs_.spread().uniform, parts.front());
  const auto first =
      std::search(ops.ops.begin(), ops.ops.end(), attention.begin(), attention.end(),
                  [](const Op& a, const Op& b) { return a.name == b.name && a.query == b.query; });
  MOECAST_CHECK(first != ops.ops.end());
  for (size_t i = 0; i < attention.size(); ++i) {
    Cost& cost = ops.costs[static_cast<size_t>(first - ops.ops.begin()) + i];
    cost.time = cost.time * part;
  }
  const int layers = Attend(key.stage, key.rows);
  if (layers <= kMore) return TimeOf(TwiceBeside(ops, layers));
  const BlockTime few = TimeOf(TwiceBeside(ops, kFew));
  BlockTime each = TimeOf(TwiceBeside(ops, kMore));
  each += few * -1;
  BlockTime all = each * (static_cast<double>(layers - kFew) / (kMore - kFew));
  all += few;
  return all;
}

// What has no experts is found once: it does not know the other ranks. The MTP module ends in the
// head too.
BlockTime IterationCosts::RestOf(const Key& key, double mean_tokens) {
  if (OfHalves(key.rows)) return HalvesOf(key, mean_tokens);
  const Prompt prompt{key.tokens, key.tokens};
  IterationWork work;
  work.prefill = PrefillOf({&prompt, 1});
  work.mean_tokens = mean_tokens;
  const std::vector<Work> parts = PartsOf(work, LoadOf(work));
  const auto rows = static_cast<size_t>(key.rows);
  const auto [alike, fresh] = alike_[rows].try_emplace(key.With(0));
  BlockTime rest;
  for (const Piece& piece : pieces_) {
    if (!Has(key.stage, key.rows, piece)) continue;
    if (piece.kind == BlockKind::kMoe || piece.kind == BlockKind::kMtp)
      rest += TimeOf(CostedOf(piece.kind, parts)) * piece.count;
    else if (fresh)
      alike->second += TimeOf(CostedOf(piece.kind, parts)) * piece.count;
    if (piece.kind == BlockKind::kMtp && fresh) alike->second += HeadOf(1) * -piece.count;
  }
  if (fresh) alike->second += AttentionOf(parts.front()) * -Attend(key.stage, key.rows);
  rest += alike->second;
  return rest;
}

const BlockTime& IterationCosts::RestAt(const Key& key, int64_t knot) {
  const auto [at, fresh] = rest_[static_cast<size_t>(key.rows)].try_emplace(key.With(knot));
  if (fresh)
    at->second = RestOf(key, shard_.dp > 1 ? AtKnot(knot) : static_cast<double>(key.tokens));
  return at->second;
}

// A grouped product takes a step where its experts' rows need a larger tile. It is between two
// knots where the middle is not half way, and is found by halving, in the half that rises more.
const IterationCosts::Step& IterationCosts::StepAt(const Key& key, int64_t knot) {
  constexpr double kHalfWay = 1e-3;
  constexpr int kHalvings = 14;
  const auto [found, fresh] = steps_[static_cast<size_t>(key.rows)].try_emplace(key.With(knot));
  Step& step = found->second;
  if (!fresh) return step;
  double low = AtKnot(knot), high = AtKnot(knot + 1);
  step.below = RestAt(key, knot);
  step.above = RestAt(key, knot + 1);
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    const BlockTime there = RestOf(key, middle);
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

BlockTime IterationCosts::Rest(const Key& key, double mean_tokens) {
  if (shard_.dp == 1) return RestAt(key, 0);
  const Place place = PlaceOf(mean_tokens);
  const Step& step = StepAt(key, place.knot);
  const BlockTime& low = RestAt(key, place.knot);
  const BlockTime& high = RestAt(key, place.knot + 1);
  if (step.at == 0) return Between(low, high, place.part);
  const double from = AtKnot(place.knot), to = AtKnot(place.knot + 1);
  const double mean = from + place.part * (to - from);
  return mean < step.at ? Between(low, step.below, (mean - from) / (step.at - from))
                        : Between(step.above, high, (mean - step.at) / (to - step.at));
}

// What attention takes hides what travels, so it is not added but part of the row.
BlockTime IterationCosts::Halves(const IterationWork& half, int stage) {
  const BlockTime attention = Attention(half);
  const Place place = PlaceOf(std::max(1.0, attention.total.value / kLeastAttention));
  const Rows rows = half.prefill.tokens > 0 ? Rows::kHalvesOfPrompts : Rows::kHalvesOfDecodes;
  const auto at = [&](int64_t knot) {
    return Rest({stage, rows, half.tokens(), knot}, half.mean_tokens);
  };
  const BlockTime low = at(place.knot);
  return Between(low, at(place.knot + 1), place.part);
}

BlockTime IterationCosts::Attention(const IterationWork& work) {
  BlockTime t;
  if (work.prefill.tokens > 0) t += AttentionOf(work.prefill);
  if (work.decode.tokens > 0) t += Decode(work.decode);
  return t;
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
  return heads_[n].emplace(TimeOf(CostedOf(BlockKind::kHead, {&work, 1})));
}

BlockTime IterationCosts::Of(const IterationWork& work) {
  BlockTime all = OfStage(work, 0);
  for (int s = 1; s < stages(); ++s) {
    const Seconds send = SendOf(work);
    all.total += send;
    all.busy[static_cast<size_t>(OpClass::kCollective)] += send;
    all.exposed[static_cast<size_t>(GroupKind::kPipelineNext)] += send;
    all += OfStage(work, s);
  }
  return all;
}

BlockTime IterationCosts::OfStage(const IterationWork& work, int stage) {
  MOECAST_CHECK(work.tokens() > 0);
  const Rows rows = work.halved ? Rows::kUndivided : Rows::kAll;
  BlockTime t = Rest({stage, rows, work.tokens()}, work.mean_tokens);
  t += Attention(work) * Attend(stage, rows);
  if (work.halved && Attend(stage, Rows::kHalvesOfDecodes) > 0) t += Halves(HalfOf(work), stage);
  if (stage + 1 < stages()) return t;
  t += HeadOf(work.prefill.sequences + work.decode.tokens) * (drafts_ > 0 ? 2 : 1);
  if (drafts_ < 2 || work.decode.tokens == 0) return t;
  const IterationWork on = DraftsOn(work);
  t += Rest({stage, Rows::kDraftsOn, on.tokens()}, on.mean_tokens);
  t += HeadOf(on.tokens()) * (drafts_ - 1);
  t += Decode(on.decode) * (drafts_ - 1);
  return t;
}

// Each rank of tp sends all of a token, as vLLM's does where it does not gather behind.
Seconds IterationCosts::SendOf(const IterationWork& work) {
  const auto [at, fresh] = sends_.try_emplace(work.tokens());
  const Bytes bytes(static_cast<double>(work.tokens()) * model_.hidden *
                    ElementBytes(Dtype::kBf16));
  const Op send{.name = OpName::kPipelineSend,
                .query = CollectiveQuery{CollectiveKind::kSend, GroupKind::kPipelineNext, bytes}};
  if (fresh) at->second = costs_.Of(send).time;
  return at->second;
}

// Which kernels run depends on what there is, not on how much.
int IterationCosts::KernelsOf(const IterationWork& work) {
  std::optional<int>& kernels = kernels_[static_cast<size_t>(
      (work.prefill.tokens > 0) + 2 * (work.decode.tokens > 0) + 4 * work.halved)];
  if (kernels) return *kernels;
  kernels = 0;
  for (const Piece& piece : pieces_)
    *kernels += piece.count * static_cast<int>(OpsIn(piece, work).ops.size());
  return *kernels;
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
