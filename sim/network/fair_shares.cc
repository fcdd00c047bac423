#include "sim/network/fair_shares.h"

#include <algorithm>
#include <limits>

namespace moecast {
namespace {

// Links whose levels differ by less fill together: far above the rounding of a level (some 1e-16 a round),
// far below anything that is looked at.
constexpr double kSameLevel = 1e-12;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

}  // namespace

ExactShare Exact(double share) {
  return static_cast<ExactShare>(share * 0x1.0p64);
}

void FairShares::Clear() {
  capacity_.clear();
  flows_.clear();
  kind_begin_.clear();
  uses_.clear();
}

int FairShares::AddLink(double capacity) {
  capacity_.push_back(capacity);
  return static_cast<int>(capacity_.size()) - 1;
}

int FairShares::AddKind(int64_t flows) {
  flows_.push_back(flows);
  kind_begin_.push_back(static_cast<int32_t>(uses_.size()));
  return static_cast<int>(flows_.size()) - 1;
}

void FairShares::AddUse(int link, ExactShare share) {
  uses_.push_back({link, static_cast<int32_t>(flows_.size()) - 1, share});
}

double FairShares::LevelOf(int link) const {
  const double weight = static_cast<double>(weight_[link]) * 0x1.0p-64;
  return std::max(0.0, capacity_[link] - used_[link]) / weight;
}

std::span<const double> FairShares::Solve() {
  const size_t links = capacity_.size();
  kind_begin_.push_back(static_cast<int32_t>(uses_.size()));
  used_.assign(links, 0);
  weight_.assign(links, 0);
  filled_.assign(links, 0);
  level_.assign(links, kUnlimited);
  rates_.assign(flows_.size(), kUnlimited);

  link_begin_.assign(links + 2, 0);
  for (const Use& u : uses_) ++link_begin_[u.link + 2];
  for (size_t l = 2; l < link_begin_.size(); ++l) link_begin_[l] += link_begin_[l - 1];
  link_kinds_.resize(uses_.size());
  for (const Use& u : uses_) {
    link_kinds_[link_begin_[u.link + 1]++] = u.kind;
    weight_[u.link] += u.share * flows_[u.kind];
  }

  growing_.clear();
  for (size_t l = 0; l < links; ++l) {
    if (weight_[l] == 0) continue;
    growing_.push_back(static_cast<int32_t>(l));
    level_[l] = LevelOf(static_cast<int>(l));
  }
  double rate = 0;
  while (!growing_.empty()) {
    double lowest = kUnlimited;
    for (const int32_t l : growing_) lowest = std::min(lowest, level_[l]);
    rate = std::max(rate, lowest);
    touched_.clear();
    for (const int32_t l : growing_) {
      if (level_[l] > rate * (1 + kSameLevel)) continue;
      for (int32_t i = link_begin_[l]; i < link_begin_[l + 1]; ++i) {
        const int32_t kind = link_kinds_[i];
        if (rates_[kind] != kUnlimited) continue;
        rates_[kind] = rate;
        for (int32_t u = kind_begin_[kind]; u < kind_begin_[kind + 1]; ++u) {
          const Use& use = uses_[u];
          if (filled_[use.link] == 0) touched_.push_back(use.link);
          filled_[use.link] += use.share * flows_[kind];
        }
      }
    }
    for (const int32_t l : touched_) {
      used_[l] += static_cast<double>(filled_[l]) * 0x1.0p-64 * rate;
      weight_[l] -= filled_[l];
      filled_[l] = 0;
      if (weight_[l] != 0) level_[l] = LevelOf(l);
    }
    std::erase_if(growing_, [this](int32_t l) { return weight_[l] == 0; });
  }
  return rates_;
}

}  // namespace moecast
