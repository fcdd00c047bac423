#include "costmodel/gating/gate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "costmodel/gating/avx2.h"
#include "costmodel/gating/four.h"

namespace moecast {
namespace {

// The candidates are looked at in rows of this many, of which the greatest of each place is kept.
constexpr int kRow = 16;

// What one token's choice needs, kept from token to token.
struct Scratch {
  std::vector<float> scores, candidates;  // candidates: whole rows
  std::vector<float> groups;              // scores, whole fours
  std::vector<float> kept;                // scores of what may be among the best, whole fours
  std::vector<int> kept_at, rank;         // their candidates; and how many are better
  std::vector<int> best;                  // candidates, best first
  std::vector<int> first;          // expert of each chosen group's first candidate, ascending
  std::vector<int> place, offset;  // of a candidate: which of the chosen groups, and where in it

  int ExpertOf(int candidate) const { return first[place[candidate]] + offset[candidate]; }
};

// How many of n numbers are better than each: greater, or equal and of a lower index. They are
// whole fours, filled up with what is lower than all.
MOECAST_INLINE void RankAll(const float* x, int n, int* rank) {
  for (int b = 0; b < n; b += 4) {
    const Four of = Load(x + b);
    FourInts better{};  // true is -1
    for (int j = 0; j < b; ++j) better -= Fill(x[j]) >= of;
    for (int j = 0; j < 4; ++j) {
      const Four other = Fill(x[b + j]);
      const FourInts after = FourInts{0, 1, 2, 3} > j;
      better -= (other > of) | ((other == of) & after);
    }
    for (int j = b + 4; j < n; ++j) better -= Fill(x[j]) > of;
    std::memcpy(rank + b, &better, sizeof better);
  }
}

// A number that at least k of the candidates reach: the k-th greatest of a row's places. The
// candidates are whole rows.
MOECAST_INLINE float ReachedBy(int k, std::span<const float> rows) {
  if (k > kRow) return kLowest;
  std::array<Four, kRow / 4> best;
  best.fill(Fill(kLowest));
  for (size_t i = 0; i < rows.size(); i += kRow)
    for (size_t l = 0; l < best.size(); ++l) best[l] = Max(best[l], Load(&rows[i + 4 * l]));
  std::array<float, kRow> greatest;
  std::memcpy(greatest.data(), best.data(), sizeof best);
  const Four none = Fill(std::numeric_limits<float>::infinity());
  Four least = none;
  for (const Four& four : best) {
    FourInts above{};
    for (const float g : greatest) above -= Fill(g) > four;  // true is -1
    least = Min(least, above < k ? four : none);
  }
  return std::min(std::min(least[0], least[1]), std::min(least[2], least[3]));
}

// A bit for each of a row's numbers that reaches the floor.
MOECAST_INLINE uint32_t Reaching(const float* row, float floor) {
  uint32_t bits = 0;
  for (int l = 0; l < kRow; l += 4) {
    const FourInts reaches = Load(row + l) >= floor;
#if defined(__SSE__)
    bits |= static_cast<uint32_t>(__builtin_ia32_movmskps((Four)reaches)) << l;
#else
    for (int j = 0; j < 4; ++j) bits |= (reaches[j] & 1u) << (l + j);
#endif
  }
  return bits;
}

// The k best of the n candidates, best first, into s.best; returns how many.
MOECAST_INLINE int KeepBest(int k, int n, Scratch& s) {
  const float floor = ReachedBy(k, s.candidates);
  int kept = 0;
  for (int row = 0; row < n; row += kRow) {
    for (uint32_t bits = Reaching(&s.candidates[row], floor); bits != 0; bits &= bits - 1) {
      const int at = row + std::countr_zero(bits);
      if (at >= n) break;  // a floor lower than all is reached by what fills up the row
      s.kept[kept] = s.candidates[at];
      s.kept_at[kept++] = at;
    }
  }
  k = std::min(k, kept);
  if (kept > kRow) {
    const auto better = [&](int a, int b) {
      return s.candidates[a] != s.candidates[b] ? s.candidates[a] > s.candidates[b] : a < b;
    };
    std::partial_sort_copy(s.kept_at.begin(), s.kept_at.begin() + kept, s.best.begin(),
                           s.best.begin() + k, better);
    return k;
  }
  int fours = kept;
  while (fours % 4 != 0) s.kept[fours++] = kLowest;
  RankAll(s.kept.data(), fours, s.rank.data());
  for (int i = 0; i < kept; ++i) s.best[s.rank[i]] = s.kept_at[i];
  return k;
}

// Of few numbers, for which a call of the library's takes longer.
MOECAST_INLINE void Copy(const float* from, int n, float* to) {
  int i = 0;
  for (; i + 4 <= n; i += 4) Store(to + i, Load(from + i));
  for (; i < n; ++i) to[i] = from[i];
}

// The candidates' scores and the groups they are of; returns how many there are.
MOECAST_INLINE int Gather(const Gate& gate, const float* scores, Scratch& s) {
  const int size = gate.group_size();
  if (gate.top_groups < gate.groups) {
    gate.method->group_scores(scores, gate.groups, size, s.groups.data());
    RankAll(s.groups.data(), static_cast<int>(s.groups.size()), s.rank.data());
    int taken = 0;
    for (int g = 0; g < gate.groups; ++g) {
      s.first[taken] = g * size;
      taken += s.rank[g] < gate.top_groups;
    }
  }
  for (int g = 0; g < gate.top_groups; ++g)
    Copy(scores + s.first[g], size, &s.candidates[g * size]);
  return gate.top_groups * size;
}

// How many of the best n candidates it takes to reach a part of the token's whole affinity.
int ReachingPart(const Gate& gate, const float* affinities, int n, const Scratch& s) {
  const float wanted = static_cast<float>(gate.top_p) * Sum(affinities, gate.experts);
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += affinities[s.ExpertOf(s.best[i])];
    if (sum >= wanted) return i + 1;
  }
  return n;
}

}  // namespace

Gate GateOf(const Moe& moe) {
  MOECAST_CHECK(moe.experts > 0 && moe.experts < 65536 && moe.experts % moe.groups == 0);
  MOECAST_CHECK(moe.top_groups <= moe.groups &&
                moe.top_k <= moe.top_groups * (moe.experts / moe.groups));
  return {.experts = moe.experts,
          .top_k = moe.top_k,
          .groups = moe.groups,
          .top_groups = moe.top_groups,
          .method = moe.method,
          .scoring = moe.scoring,
          .normalize = moe.normalize_top_k,
          .scaling = moe.scaling_factor};
}

void ToAffinities(const Scoring& scoring, int experts, std::span<const float> logits,
                  std::span<float> affinities) {
  MOECAST_CHECK(affinities.size() == logits.size());
  for (size_t first = 0; first < logits.size(); first += experts)
    scoring.affinities(&logits[first], experts, &affinities[first]);
}

void OddsToAffinities(const Scoring& scoring, int experts, std::span<float> odds) {
  for (size_t first = 0; first + experts <= odds.size(); first += experts)
    scoring.from_odds(&odds[first], experts);
}

MOECAST_ALSO_AVX2 void Choose(const Gate& gate, std::span<const float> affinities,
                              std::span<const float> bias, Choices& out) {
  const int n = gate.experts;
  const int size = gate.group_size();
  const int candidates = gate.top_groups * size;
  MOECAST_CHECK(affinities.size() % n == 0 &&
                (bias.empty() || bias.size() == static_cast<size_t>(n)));
  const int most = gate.top_p > 0 ? candidates : gate.top_k;
  const size_t tokens = affinities.size() / n;
  const auto fours = [](int k) { return static_cast<size_t>((k + 3) / 4 * 4); };
  Scratch s{.scores = std::vector<float>(n),
            .candidates = std::vector<float>((candidates + kRow - 1) / kRow * kRow, kLowest),
            .groups = std::vector<float>(fours(gate.groups), kLowest),
            .kept = std::vector<float>(fours(candidates)),
            .kept_at = std::vector<int>(candidates),
            .rank = std::vector<int>(fours(std::max(candidates, gate.groups))),
            .best = std::vector<int>(candidates),
            .first = std::vector<int>(gate.groups + 1)};
  for (int g = 0; g < gate.groups; ++g) s.first[g] = g * size;
  for (int c = 0; c < candidates; ++c) {
    s.place.push_back(c / size);
    s.offset.push_back(c % size);
  }
  size_t at = out.expert.size();
  out.expert.resize(at + tokens * most);
  out.affinity.resize(at + tokens * most);
  for (size_t t = 0; t < tokens; ++t) {
    const float* affinity = affinities.data() + t * n;
    const float* scores = affinity;
    if (!bias.empty()) {
      for (int i = 0; i < n; ++i) s.scores[i] = affinity[i] + bias[i];
      scores = s.scores.data();
    }
    int chosen = KeepBest(most, Gather(gate, scores, s), s);
    if (gate.top_p > 0) chosen = ReachingPart(gate, affinity, chosen, s);
    for (int i = 0; i < chosen; ++i, ++at) {
      const int expert = s.ExpertOf(s.best[i]);
      out.expert[at] = static_cast<uint16_t>(expert);
      out.affinity[at] = affinity[expert];
    }
    out.begin.push_back(static_cast<uint32_t>(at));
  }
  out.expert.resize(at);
  out.affinity.resize(at);
}

std::vector<float> WeightsOf(const Gate& gate, const Choices& choices) {
  std::vector<float> weights = choices.affinity;
  for (size_t t = 0; t < choices.tokens(); ++t) {
    float scale = static_cast<float>(gate.scaling);
    if (gate.normalize) {
      float sum = 0;
      for (const float a : choices.AffinitiesOf(t)) sum += a;
      // The modelling code adds 1e-20 to the sum, so that affinities of zero stay zero.
      scale /= sum + 1e-20f;
    }
    for (uint32_t i = choices.begin[t]; i < choices.begin[t + 1]; ++i) weights[i] *= scale;
  }
  return weights;
}

}  // namespace moecast
