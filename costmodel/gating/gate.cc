#include "costmodel/gating/gate.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>

#include "base/check.h"
#include "costmodel/gating/four.h"

namespace moecast {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The candidates are looked at in rows of this many, of which the greatest of each place is kept.
constexpr int kRow = 16;

float Sum(const float* x, int n) {
  const Four s = Combined(x, n, 0, [](Four a, Four b) { return a + b; });
  return (s[0] + s[2]) + (s[1] + s[3]);
}

float Greatest(const float* x, int n) {
  const Four m = Combined(x, n, kLowest, [](Four a, Four b) { return Max(a, b); });
  return std::max(std::max(m[0], m[2]), std::max(m[1], m[3]));
}

// A group of one expert has no second best; its best counts alone.
float SumOfTwoGreatest(const float* x, int n) {
  if (n == 1) return x[0];
  Four second = Fill(kLowest);
  const Four first = Combined(x, n, kLowest, [&second](Four a, Four b) {
    second = Max(second, Min(a, b));
    return Max(a, b);
  });
  float best = kLowest, next = kLowest;
  for (const Four& four : {first, second}) {
    for (int l = 0; l < 4; ++l) {
      next = std::max(next, std::min(best, four[l]));
      best = std::max(best, four[l]);
    }
  }
  return best + next;
}

// A score and its index as one number: the greater score is greater, of equal ones the lower index. Adding
// zero turns -0 into +0.
uint64_t KeyOf(float score, uint32_t index) {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{ordered} << 32 | (0xffffffffu - index);
}
uint32_t IndexOf(uint64_t key) {
  return 0xffffffffu - static_cast<uint32_t>(key);
}

// What one token's choice needs, kept from token to token.
struct Scratch {
  std::vector<float> scores, candidates;
  std::vector<uint64_t> keys, sorted;
  std::vector<int> reaching;       // candidates above the floor
  std::vector<int> first;          // expert of each chosen group's first candidate, ascending
  std::vector<int> place, offset;  // of a candidate: which of the chosen groups, and where in it

  int ExpertOf(uint64_t key) const {
    const uint32_t candidate = IndexOf(key);
    return first[place[candidate]] + offset[candidate];
  }
};

// Few keys are ranked by counting, which does not branch on what they are.
void SortBestFirst(std::span<const uint64_t> keys, uint64_t* sorted) {
  if (keys.size() > 24) {
    std::copy(keys.begin(), keys.end(), sorted);
    std::sort(sorted, sorted + keys.size(), std::greater<>());
    return;
  }
  for (const uint64_t key : keys) {
    int rank = 0;
    for (const uint64_t other : keys) rank += other > key;
    sorted[rank] = key;
  }
}

// A number that at least k of the candidates reach: the k-th greatest of a row's places. The candidates are
// whole rows.
float ReachedBy(int k, std::span<const float> rows) {
  if (k > kRow) return kLowest;
  std::array<Four, kRow / 4> best;
  best.fill(Fill(kLowest));
  for (size_t i = 0; i < rows.size(); i += kRow)
    for (size_t l = 0; l < best.size(); ++l) best[l] = Max(best[l], Load(&rows[i + 4 * l]));
  std::array<float, kRow> greatest;
  std::memcpy(greatest.data(), best.data(), sizeof best);
  float least = std::numeric_limits<float>::infinity();
  for (const Four& four : best) {
    FourInts above{};
    for (const float g : greatest) above -= Fill(g) > four;  // true is -1
    const Four among = above < k ? four : Fill(least);
    least = std::min({least, among[0], among[1], among[2], among[3]});
  }
  return least;
}

// The keys of the k best of the n candidates, best first; returns how many.
int KeepBest(int k, int n, Scratch& s) {
  const float floor = ReachedBy(k, s.candidates);
  int kept = 0;
  for (int i = 0; i < n; ++i) {
    s.reaching[kept] = i;
    kept += s.candidates[i] >= floor;
  }
  for (int i = 0; i < kept; ++i)
    s.keys[i] = KeyOf(s.candidates[s.reaching[i]], static_cast<uint32_t>(s.reaching[i]));
  SortBestFirst(std::span(s.keys).first(kept), s.sorted.data());
  return std::min(k, kept);
}

// The candidates' scores and the groups they are of; returns how many there are.
int Gather(const Gate& gate, const float* scores, Scratch& s) {
  const int size = gate.group_size();
  if (gate.top_groups < gate.groups) {
    for (int g = 0; g < gate.groups; ++g) {
      const float* group = scores + g * size;
      s.keys[g] =
          KeyOf(gate.group_score == GroupScore::kBest ? Greatest(group, size) : SumOfTwoGreatest(group, size),
                static_cast<uint32_t>(g));
    }
    SortBestFirst(std::span(s.keys).first(gate.groups), s.sorted.data());
    const uint64_t last = s.sorted[gate.top_groups - 1];
    int taken = 0;
    for (int g = 0; g < gate.groups; ++g) {
      s.first[taken] = g * size;
      taken += s.keys[g] >= last;
    }
  }
  for (int g = 0; g < gate.top_groups; ++g)
    std::copy_n(scores + s.first[g], size, s.candidates.begin() + g * size);
  return gate.top_groups * size;
}

// How many of the best n candidates it takes to reach a part of the token's whole affinity.
int Reaching(const Gate& gate, const float* affinities, int n, const Scratch& s) {
  const float wanted = static_cast<float>(gate.top_p) * Sum(affinities, gate.experts);
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += affinities[s.ExpertOf(s.sorted[i])];
    if (sum >= wanted) return i + 1;
  }
  return n;
}

}  // namespace

Gate GateOf(const Moe& moe) {
  MOECAST_CHECK(moe.experts > 0 && moe.experts < 65536 && moe.experts % moe.groups == 0);
  MOECAST_CHECK(moe.top_groups <= moe.groups && moe.top_k <= moe.top_groups * (moe.experts / moe.groups));
  return {.experts = moe.experts,
          .top_k = moe.top_k,
          .groups = moe.groups,
          .top_groups = moe.top_groups,
          .group_score = moe.router_bias ? GroupScore::kTwoBest : GroupScore::kBest,
          .scoring = moe.scoring,
          .normalize = moe.normalize_top_k,
          .scaling = moe.scaling_factor};
}

void ToAffinities(Scoring scoring, int experts, std::span<float> logits) {
  const auto rows = static_cast<int>(logits.size()) / experts;
  for (int t = 0; t < rows; ++t) {
    float* z = logits.data() + static_cast<size_t>(t) * experts;
    if (scoring == Scoring::kSigmoid) {
      ForEachFour(z, experts, [](Four x) { return 1 / (1 + Exp(-x)); });
      continue;
    }
    const float most = Greatest(z, experts);
    ForEachFour(z, experts, [most](Four x) { return Exp(x - most); });
    const float scale = 1 / Sum(z, experts);
    ForEachFour(z, experts, [scale](Four x) { return x * scale; });
  }
}

void OddsToAffinities(Scoring scoring, int experts, std::span<float> odds) {
  const auto rows = static_cast<int>(odds.size()) / experts;
  for (int t = 0; t < rows; ++t) {
    float* o = odds.data() + static_cast<size_t>(t) * experts;
    if (scoring == Scoring::kSigmoid) {
      ForEachFour(o, experts, [](Four x) { return x / (1 + x); });
      continue;
    }
    const float scale = 1 / Sum(o, experts);
    ForEachFour(o, experts, [scale](Four x) { return x * scale; });
  }
}

void Choose(const Gate& gate, std::span<const float> affinities, std::span<const float> bias, Choices& out) {
  const int n = gate.experts, size = gate.group_size(), candidates = gate.top_groups * size;
  MOECAST_CHECK(affinities.size() % n == 0 && (bias.empty() || bias.size() == static_cast<size_t>(n)));
  const int most = gate.top_p > 0 ? candidates : gate.top_k;
  const size_t tokens = affinities.size() / n;
  Scratch s{.scores = std::vector<float>(n),
            .candidates = std::vector<float>((candidates + kRow - 1) / kRow * kRow, kLowest),
            .keys = std::vector<uint64_t>(std::max(candidates, gate.groups)),
            .sorted = std::vector<uint64_t>(std::max(candidates, gate.groups)),
            .reaching = std::vector<int>(candidates + 1),
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
    if (gate.top_p > 0) chosen = Reaching(gate, affinity, chosen, s);
    for (int i = 0; i < chosen; ++i, ++at) {
      const int expert = s.ExpertOf(s.sorted[i]);
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
