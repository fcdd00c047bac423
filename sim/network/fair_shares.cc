#include "sim/network/fair_shares.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/check.h"

namespace moecast {
namespace {

// Links whose levels differ by less fill together: far above the rounding of a level (some 1e-16 a
// round), far below anything that is looked at.
constexpr double kSameLevel = 1e-12;
// Rates this near to that of what changed count as equal to it: those of one level may be of
// several solutions. More than needed is only looked at in vain.
constexpr double kAsFast = 1 - 1e-9;

constexpr double kUnlimited = std::numeric_limits<double>::infinity();

}  // namespace

FairShares::Exact FairShares::ExactOf(double x) {
  const auto whole = static_cast<int64_t>(x);
  const auto part = static_cast<uint64_t>((x - static_cast<double>(whole)) * 0x1.0p64);
  return (static_cast<Exact>(whole) << 64) + part;
}

FairShares::FairShares(std::span<const BytesPerSecond> capacity) : links_(capacity.size()) {
  for (size_t l = 0; l < capacity.size(); ++l) {
    MOECAST_CHECK(capacity[l].value >= 0);
    links_[l].capacity = capacity[l].value;
  }
}

int32_t FairShares::Add(std::span<const LinkShare> shares) {
  kinds_.emplace_back();
  rate_.push_back(0);
  seen_.push_back(0);
  const auto kind = static_cast<int32_t>(kinds_.size()) - 1;
  Redefine(kind, shares);
  return kind;
}

void FairShares::Redefine(int32_t kind, std::span<const LinkShare> shares) {
  Kind& k = kinds_[kind];
  MOECAST_CHECK(k.flows == 0 && !shares.empty());
  k.uses.clear();
  for (const LinkShare& s : shares) k.uses.push_back({s.link, 0, s.share});
}

void FairShares::Join(int32_t kind) {
  rate_[kind] = kUnlimited;
  int32_t number = 0;
  for (Use& use : kinds_[kind].uses) {
    auto& on_link = links_[use.link].kinds;
    use.at = static_cast<int32_t>(on_link.size());
    on_link.push_back({kind, number++});
  }
}

void FairShares::Leave(int32_t kind) {
  for (const Use& use : kinds_[kind].uses) {
    auto& on_link = links_[use.link].kinds;
    const OnLink moved = on_link.back();
    on_link[use.at] = moved;
    kinds_[moved.kind].uses[moved.use].at = use.at;
    on_link.pop_back();
  }
}

void FairShares::Change(int32_t kind, int64_t flows) {
  Kind& k = kinds_[kind];
  if (k.flows == 0) Join(kind);
  k.flows += flows;
  MOECAST_CHECK(k.flows >= 0);
  for (const Use& use : k.uses) {
    links_[use.link].weight += ExactOf(use.share) * flows;
    if (flows < 0) Touch(use.link, rate_[kind]);
  }
  if (flows > 0) grown_.push_back(kind);
  if (k.flows == 0) Leave(kind);
}

void FairShares::SetCapacity(LinkId link, BytesPerSecond capacity) {
  MOECAST_CHECK(link >= 0 && static_cast<size_t>(link) < links_.size() && capacity.value >= 0);
  links_[link].capacity = capacity.value;
  Touch(link, 0);
}

std::vector<LinkId> FairShares::Blocked() const {
  std::vector<LinkId> blocked;
  for (size_t l = 0; l < links_.size(); ++l)
    if (links_[l].capacity == 0 && !links_[l].kinds.empty())
      blocked.push_back(static_cast<LinkId>(l));
  return blocked;
}

void FairShares::Touch(LinkId link, double from) {
  double& touched = links_[link].touched_from;
  if (touched == kUntouched) touched_.push_back(link);
  touched = touched == kUntouched ? from : std::min(touched, from);
}

std::span<const int32_t> FairShares::Solve() {
  solved_.clear();
  for (const int32_t kind : grown_) {
    const Kind& k = kinds_[kind];
    if (k.flows == 0) continue;
    // At least as fast as the slowest of its links lets all its flows alike be.
    double from = kUnlimited;
    for (const Use& use : k.uses)
      from = std::min(from, links_[use.link].capacity /
                                (static_cast<double>(links_[use.link].weight) * 0x1.0p-64));
    // One link leads to all others of the kind.
    Touch(k.uses.front().link, from);
  }
  grown_.clear();
  if (touched_.empty()) return {};
  ++solve_;
  // From the slowest on: what leads to a link touched from a faster rate on has gone over all it
  // would.
  std::ranges::sort(touched_, {},
                    [this](LinkId l) { return std::pair(links_[l].touched_from, l); });
  for (const LinkId link : touched_) {
    if (links_[link].seen != solve_) SolveFrom(link, links_[link].touched_from * kAsFast);
    links_[link].touched_from = kUntouched;
  }
  touched_.clear();
  return solved_;
}

// Finds what has to be rated anew, beside what keeps its rate, and rates it.
void FairShares::SolveFrom(LinkId first, double from) {
  // Most often, when the fastest flows have ended, there is nothing.
  const auto is_fast = [&](const OnLink& on) { return rate_[on.kind] >= from; };
  if (std::ranges::none_of(links_[first].kinds, is_fast)) return;
  reached_.assign(1, first);
  links_[first].seen = solve_;
  for (size_t i = 0; i < reached_.size(); ++i) {
    Link& link = links_[reached_[i]];
    link.growing = link.weight;
    Exact kept = 0;
    for (const auto& [kind, use] : link.kinds) {
      const Kind& k = kinds_[kind];
      if (rate_[kind] < from) {
        const Exact weight = ExactOf(k.uses[use].share) * k.flows;
        link.growing -= weight;
        kept += ExactOf(static_cast<double>(weight) * 0x1.0p-64 * rate_[kind]);
      } else if (seen_[kind] != solve_) {
        seen_[kind] = solve_;
        rate_[kind] = kUnlimited;
        solved_.push_back(kind);
        for (const Use& u : k.uses) {
          if (links_[u.link].seen == solve_) continue;
          links_[u.link].seen = solve_;
          reached_.push_back(u.link);
        }
      }
    }
    link.used = static_cast<double>(kept) * 0x1.0p-64;
  }
  Fill();
}

double FairShares::LevelOf(const Link& link) {
  return std::max(0.0, link.capacity - link.used) / (static_cast<double>(link.growing) * 0x1.0p-64);
}

// All flows of the link that still grow have this rate.
void FairShares::FixOn(Link& link, double rate) {
  for (const OnLink& on : link.kinds) {
    if (rate_[on.kind] != kUnlimited) continue;
    rate_[on.kind] = rate;
    const Kind& k = kinds_[on.kind];
    for (const Use& use : k.uses) {
      Link& other = links_[use.link];
      if (other.filled == 0) changed_.push_back(use.link);
      other.filled += ExactOf(use.share) * k.flows;
    }
  }
}

void FairShares::Fill() {
  by_level_.clear();
  for (const LinkId l : reached_) {
    if (links_[l].growing == 0) continue;
    links_[l].level = LevelOf(links_[l]);
    by_level_.emplace_back(links_[l].level, l);
  }
  const auto later = std::greater<>{};
  std::ranges::make_heap(by_level_, later);
  const auto pop = [&] {
    std::ranges::pop_heap(by_level_, later);
    by_level_.pop_back();
  };
  // Levels rise as flows get their rates. The first link of the heap gets the level it has now.
  const auto settle = [&] {
    while (!by_level_.empty()) {
      const auto [level, l] = by_level_.front();
      const Link& link = links_[l];
      if (link.growing != 0 && !(link.level > level)) return;
      pop();
      if (link.growing == 0) continue;
      by_level_.emplace_back(link.level, l);
      std::ranges::push_heap(by_level_, later);
    }
  };
  double rate = 0;
  for (settle(); !by_level_.empty(); settle()) {
    rate = std::max(rate, by_level_.front().first);
    filling_.clear();
    changed_.clear();
    for (; !by_level_.empty() && by_level_.front().first <= rate * (1 + kSameLevel); settle()) {
      filling_.push_back(by_level_.front().second);
      pop();
    }
    for (const LinkId l : filling_) FixOn(links_[l], rate);
    for (const LinkId l : changed_) {
      Link& link = links_[l];
      link.used += static_cast<double>(link.filled) * 0x1.0p-64 * rate;
      link.growing -= link.filled;
      link.filled = 0;
      if (link.growing != 0) link.level = LevelOf(link);
    }
  }
}

}  // namespace moecast
