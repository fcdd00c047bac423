#include "sim/network/fluid_network.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/random.h"
#include "sim/network/link_shares.h"

namespace moecast {
namespace {

uint64_t HashOf(std::span<const LinkShare> shares) {
  uint64_t hash = shares.size();
  for (const LinkShare& s : shares) {
    hash = Random(hash ^ static_cast<uint64_t>(s.link)).Next();
    hash = Random(hash ^ std::bit_cast<uint64_t>(s.share)).Next();
  }
  return hash;
}

}  // namespace

FluidNetwork::FluidNetwork(std::span<const BytesPerSecond> capacity) : links_(capacity.size()) {
  for (size_t l = 0; l < capacity.size(); ++l) {
    MOECAST_CHECK(capacity[l].value >= 0);
    links_[l].capacity = capacity[l].value;
  }
}

int32_t FluidNetwork::KindOf(std::span<const LinkShare> shares) {
  const auto equal = [](const Use& use, const LinkShare& s) {
    return use.link == s.link && use.share == s.share;
  };
  const auto [found, is_new] = by_hash_.try_emplace(HashOf(shares), -1);
  int32_t* last = &found->second;
  for (; *last >= 0; last = &kinds_[*last].same_hash)
    if (std::ranges::equal(UsesOf(kinds_[*last]), shares, equal)) return *last;
  const auto number = static_cast<int32_t>(kinds_.size());
  *last = number;
  kinds_.push_back(
      {.first_use = static_cast<int64_t>(uses_.size()), .uses = static_cast<int32_t>(shares.size())});
  for (const LinkShare& s : shares) uses_.push_back({.link = s.link, .share = s.share});
  return number;
}

void FluidNetwork::MoveTo(Time now) {
  if (now == now_) return;
  MOECAST_CHECK(now > now_ && now <= Next());
  now_ = now;
}

void FluidNetwork::Serve(Kind& kind) {
  kind.served += kind.rate * (now_ - kind.since).seconds().value;
  kind.since = now_;
}

void FluidNetwork::Touch(LinkId link) {
  if (links_[link].dirty) return;
  links_[link].dirty = true;
  dirty_.push_back(link);
}

void FluidNetwork::Join(int32_t kind) {
  int32_t index = 0;
  for (Use& use : UsesOf(kinds_[kind])) {
    auto& on_link = links_[use.link].kinds;
    use.at = static_cast<int32_t>(on_link.size());
    on_link.emplace_back(kind, index++);
  }
}

void FluidNetwork::Leave(int32_t kind) {
  for (const Use& use : UsesOf(kinds_[kind])) {
    auto& on_link = links_[use.link].kinds;
    on_link[use.at] = on_link.back();
    const auto [moved, index] = on_link[use.at];
    UsesOf(kinds_[moved])[index].at = use.at;
    on_link.pop_back();
  }
}

FlowId FluidNetwork::Start(Time now, std::span<const LinkShare> links, Bytes bytes, int multiplicity) {
  MOECAST_CHECK(multiplicity >= 1 && bytes.value >= 0);
  MoveTo(now);
  const FlowId id = next_id_++;
  if (links.empty() || bytes.value == 0) {
    done_at_once_.push_back(id);
    return id;
  }
  const int32_t number = KindOf(CanonicalShares(links, links_.size()));
  Kind& kind = kinds_[number];
  if (kind.flows == 0) {
    kind.rate = kind.served = 0;
    kind.since = now_;
    kind.component = -1;
    Join(number);
  }
  Serve(kind);
  kind.flows += multiplicity;
  kind.members.push_back({kind.served + bytes.value, id, multiplicity});
  std::push_heap(kind.members.begin(), kind.members.end());
  // One link leads to all others of the kind.
  Touch(UsesOf(kind).front().link);
  return id;
}

Time FluidNetwork::Next() {
  if (!done_at_once_.empty()) return now_;
  Solve();
  while (!events_.empty() && components_[events_.top().component].version != events_.top().version)
    events_.pop();
  return events_.empty() ? kNever : events_.top().time;
}

void FluidNetwork::Advance(Time to, std::vector<FlowId>& done) {
  MoveTo(to);
  const size_t before = done.size();
  done.insert(done.end(), done_at_once_.begin(), done_at_once_.end());
  done_at_once_.clear();
  while (Next() == to && to != kNever) {
    const int32_t component = events_.top().component;
    events_.pop();
    for (const int32_t number : components_[component].kinds) {
      Kind& kind = kinds_[number];
      if (kind.next != to) continue;
      Serve(kind);
      // Whatever ends in the same picosecond ends now.
      do {
        done.push_back(kind.members.front().id);
        kind.flows -= kind.members.front().multiplicity;
        std::pop_heap(kind.members.begin(), kind.members.end());
        kind.members.pop_back();
      } while (!kind.members.empty() &&
               CompletionTime(to, kind.members.front().end - kind.served, kind.rate) <= to);
      for (const Use& use : UsesOf(kind)) Touch(use.link);
      if (kind.members.empty()) Leave(number);
    }
  }
  std::sort(done.begin() + static_cast<ptrdiff_t>(before), done.end());
}

void FluidNetwork::SetCapacity(Time now, LinkId link, BytesPerSecond capacity) {
  MOECAST_CHECK(link >= 0 && static_cast<size_t>(link) < links_.size() && capacity.value >= 0);
  MoveTo(now);
  links_[link].capacity = capacity.value;
  Touch(link);
}

std::vector<LinkId> FluidNetwork::Blocked() {
  std::vector<LinkId> blocked;
  for (size_t l = 0; l < links_.size(); ++l)
    if (links_[l].capacity == 0 && !links_[l].kinds.empty()) blocked.push_back(static_cast<LinkId>(l));
  return blocked;
}

void FluidNetwork::Solve() {
  if (dirty_.empty()) return;
  ++seen_;
  for (const LinkId link : dirty_) {
    links_[link].dirty = false;
    if (links_[link].seen != seen_ && !links_[link].kinds.empty()) SolveComponent(link);
  }
  dirty_.clear();
  free_components_.insert(free_components_.end(), given_up_.begin(), given_up_.end());
  given_up_.clear();
}

void FluidNetwork::SolveComponent(LinkId from) {
  ++solved_;
  shares_.Clear();
  gathered_.clear();
  reached_.assign(1, from);
  const auto reach = [this](LinkId l) {
    links_[l].seen = seen_;
    links_[l].number = shares_.AddLink(links_[l].capacity);
  };
  reach(from);
  for (size_t i = 0; i < reached_.size(); ++i) {
    for (const auto& [number, index] : links_[reached_[i]].kinds) {
      Kind& kind = kinds_[number];
      if (kind.seen == seen_) continue;
      kind.seen = seen_;
      gathered_.push_back(number);
      shares_.AddKind(kind.flows);
      for (const Use& use : UsesOf(kind)) {
        if (links_[use.link].seen != seen_) {
          reach(use.link);
          reached_.push_back(use.link);
        }
        shares_.AddUse(links_[use.link].number, Exact(use.share));
      }
    }
  }
  const std::span<const double> rates = shares_.Solve();

  int32_t component = 0;
  if (free_components_.empty()) {
    component = static_cast<int32_t>(components_.size());
    components_.emplace_back();
  } else {
    component = free_components_.back();
    free_components_.pop_back();
  }
  Time next = kNever;
  for (size_t i = 0; i < gathered_.size(); ++i) {
    Kind& kind = kinds_[gathered_[i]];
    // The component the kind was in is all solved anew, here or in another call of this Solve: what it fell
    // into are parts that each have a link of the flow that ended.
    if (kind.component >= 0 && components_[kind.component].alive) {
      components_[kind.component].alive = false;
      ++components_[kind.component].version;
      given_up_.push_back(kind.component);
    }
    Serve(kind);
    kind.rate = rates[i];
    kind.next = CompletionTime(now_, kind.members.front().end - kind.served, kind.rate);
    kind.component = component;
    next = std::min(next, kind.next);
  }
  components_[component].alive = true;
  components_[component].kinds.assign(gathered_.begin(), gathered_.end());
  if (next != kNever) events_.push({next, component, components_[component].version});
}

}  // namespace moecast
