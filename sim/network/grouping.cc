#include "sim/network/grouping.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/random.h"
#include "sim/network/link_shares.h"

namespace moecast {
namespace {

// Trees of nodes settle after twice their depth, rings that cross units after the nodes of a unit.
constexpr int kMostRounds = 64;
// Kinds of even pairs that are not worth more than writing the pairs out: so many times those they
// have alone, and more than these.
constexpr size_t kMostSplit = 8, kFewKinds = 1 << 20;

// What a color is made of first, so that what differs in kind differs in color.
enum Salt : uint64_t { kLink, kFlow, kCrossed, kCarried };

uint64_t Mixed(uint64_t a, uint64_t b) {
  return Random(Random(a).Next() ^ b).Next();
}
uint64_t Mixed(uint64_t a, double b) {
  return Mixed(a, std::bit_cast<uint64_t>(b));
}

class Partition {
 public:
  Partition(std::vector<FlowChain> chains, std::span<const BytesPerSecond> capacity,
            std::span<const CapacityChange> changes, const Cluster& cluster)
      : chains_(std::move(chains)),
        capacity_(capacity),
        changes_(changes.begin(), changes.end()),
        cluster_(cluster),
        color_(capacity.size()),
        carried_(capacity.size()) {
    std::ranges::stable_sort(changes_, {}, &CapacityChange::at);
  }

  bool Refine();  // whether the colors have settled
  GroupedFlows Grouped();
  GroupedFlows Apart();

 private:
  void ColorLinks();
  void ColorFlows(bool with_even);
  bool Settle(bool with_even);
  size_t CountLinkColors() const;

  uint64_t SaltOf(size_t chain, size_t stage, Time start, Bytes bytes) const {
    return Mixed(Mixed(Mixed(Mixed(kFlow, chain), stage), static_cast<uint64_t>(start.ps)),
                 bytes.value);
  }
  // What one crossing of the link adds to a flow's color.
  uint64_t Crossed(LinkId link, double share) const {
    return Mixed(Mixed(kCrossed, share), color_[static_cast<size_t>(link)]);
  }
  static uint64_t Carried(uint64_t flow_color, double share) {
    return Mixed(Mixed(kCarried, share), flow_color);
  }

  template <class Visit>
  void EachFlow(Visit visit) const {
    size_t i = 0;
    for (size_t c = 0; c < chains_.size(); ++c)
      for (size_t s = 0; s < chains_[c].stages.size(); ++s)
        for (const Flow& f : chains_[c].stages[s]) visit(c, s, f, i++);
  }
  Bytes BytesOf(const EvenStart& even, const EvenPairs::Kind& kind) const {
    Path way;
    for (const EvenPairs::Crossing& x : even.pairs.WayOf(kind)) way.Push(x.link);
    return kind.bytes * even.costs.of(cluster_, way);
  }

  std::vector<FlowChain> chains_;
  std::span<const BytesPerSecond> capacity_;
  std::vector<CapacityChange> changes_;  // by time
  const Cluster& cluster_;
  std::vector<uint64_t> color_;                    // by link; 0 where no flow is
  std::vector<uint64_t> carried_;                  // the same
  std::vector<uint64_t> flow_color_;               // in the order of EachFlow
  std::vector<std::vector<uint64_t>> even_color_;  // by kind, of the even starts of all chains
};

void Partition::ColorLinks() {
  for (size_t l = 0; l < color_.size(); ++l) color_[l] = Mixed(kLink, capacity_[l].value);
  for (const CapacityChange& c : changes_) {
    uint64_t& color = color_[static_cast<size_t>(c.link)];
    color = Mixed(Mixed(color, static_cast<uint64_t>(c.at.ps)), c.capacity.value);
  }
}

// And what each link carries of the colors.
void Partition::ColorFlows(bool with_even) {
  std::ranges::fill(carried_, 0);
  flow_color_.clear();
  EachFlow([&](size_t c, size_t s, const Flow& f, size_t) {
    uint64_t color = SaltOf(c, s, f.start, f.bytes);
    uint64_t crossed = 0;
    for (const LinkShare& l : f.links) crossed += Crossed(l.link, l.share);
    color = Mixed(color, crossed);
    flow_color_.push_back(color);
    for (const LinkShare& l : f.links)
      carried_[static_cast<size_t>(l.link)] +=
          static_cast<uint64_t>(f.multiplicity) * Carried(color, l.share);
  });
  even_color_.clear();
  if (!with_even) return;
  for (size_t c = 0; c < chains_.size(); ++c) {
    for (const EvenStart& even : chains_[c].even) {
      auto& colors = even_color_.emplace_back();
      for (const EvenPairs::Kind& kind : even.pairs.kinds()) {
        uint64_t crossed = 0;
        for (const EvenPairs::Crossing& x : even.pairs.WayOf(kind)) crossed += Crossed(x.link, 1);
        colors.push_back(Mixed(SaltOf(c, even.stage, even.start, BytesOf(even, kind)), crossed));
      }
      even.pairs.AddTo(
          std::span(carried_), [&](const EvenPairs::Kind& kind, EvenPairs::Crossing x) {
            const auto k = static_cast<size_t>(&kind - even.pairs.kinds().data());
            return static_cast<uint64_t>(even.pairs.OnEach(kind, x)) * Carried(colors[k], 1);
          });
    }
  }
}

size_t Partition::CountLinkColors() const {
  std::unordered_set<uint64_t> colors;
  for (size_t l = 0; l < color_.size(); ++l)
    if (carried_[l] != 0) colors.insert(color_[l]);
  return colors.size();
}

// First by the flows alone: what they tell apart the even pairs do too, whose kinds are many more
// to look at in every round.
bool Partition::Refine() {
  ColorLinks();
  if (!Settle(false)) return false;
  const bool any_even =
      std::ranges::any_of(chains_, [](const FlowChain& c) { return !c.even.empty(); });
  return !any_even || Settle(true);
}

// Refines by what links carry, with or without the even pairs; whether the colors have settled.
bool Partition::Settle(bool with_even) {
  std::vector<size_t> few;  // kinds of even pairs that are none too many
  for (const FlowChain& chain : chains_)
    for (const EvenStart& even : chain.even)
      few.push_back(std::max(kFewKinds, kMostSplit * even.pairs.kinds().size()));
  size_t colors = 0;
  for (int round = 0; round < kMostRounds; ++round) {
    bool split = false;
    size_t e = 0;
    for (FlowChain& chain : chains_)
      for (EvenStart& even : chain.even) {
        if (!with_even) continue;
        split = even.pairs.Split(color_) || split;
        if (even.pairs.kinds().size() > few[e++]) return false;
      }
    ColorFlows(with_even);
    for (size_t l = 0; l < color_.size(); ++l) color_[l] = Mixed(color_[l], carried_[l]);
    // Links whose colors have not come apart by what they carry of the flows' colors, which follow
    // from theirs.
    const size_t before = std::exchange(colors, CountLinkColors());
    if (!split && colors == before) return true;
  }
  return false;
}

// Every flow and every link its own.
GroupedFlows Partition::Apart() {
  for (FlowChain& chain : chains_) {
    for (const EvenStart& even : chain.even) {
      auto& stage = chain.stages[even.stage];
      even.pairs.EachPair([&](const Path& way, Bytes bytes) {
        Flow& flow = stage.emplace_back(
            Flow{.start = even.start, .links = {}, .bytes = bytes * even.costs.of(cluster_, way)});
        for (const LinkId link : way.span()) flow.links.push_back({link});
      });
    }
    chain.even.clear();
  }
  GroupedFlows out{.chains = std::move(chains_),
                   .capacity = {capacity_.begin(), capacity_.end()},
                   .changes = std::move(changes_),
                   .color_of = std::vector<int32_t>(capacity_.size()),
                   .first_of = {}};
  std::iota(out.color_of.begin(), out.color_of.end(), 0);
  out.first_of = out.color_of;
  return out;
}

GroupedFlows Partition::Grouped() {
  GroupedFlows out{.chains = {},
                   .capacity = {},
                   .changes = {},
                   .color_of = std::vector<int32_t>(color_.size(), -1),
                   .first_of = {}};
  std::unordered_map<uint64_t, int32_t> number;
  for (size_t l = 0; l < color_.size(); ++l) {
    if (carried_[l] == 0) continue;
    const auto [at, is_new] =
        number.try_emplace(color_[l], static_cast<int32_t>(out.first_of.size()));
    out.color_of[l] = at->second;
    if (!is_new) continue;
    out.first_of.push_back(static_cast<LinkId>(l));
    out.capacity.push_back(capacity_[l]);
  }
  const auto is_first = [&](LinkId link) { return out.first_of[out.color_of[link]] == link; };
  for (const CapacityChange& c : changes_)
    if (out.color_of[c.link] >= 0 && is_first(c.link))
      out.changes.push_back({c.at, out.color_of[c.link], c.capacity});

  // Groups in the order of the first flow of each color, so that no hash decides it.
  struct Group {
    size_t chain, stage;
    Flow flow;
  };
  std::vector<Group> groups;
  std::unordered_map<uint64_t, size_t> group_of;
  const auto join = [&](uint64_t color, size_t chain, size_t stage, Time start, Bytes bytes,
                        int64_t flows) {
    const auto [at, is_new] = group_of.try_emplace(color, groups.size());
    if (is_new)
      groups.push_back(
          {chain, stage, {.start = start, .links = {}, .bytes = bytes, .multiplicity = 0}});
    groups[at->second].flow.multiplicity += flows;
    return at->second;
  };
  // Flows on the first link of a color, which are as many on its others: not yet the mean.
  const auto add = [&](size_t group, LinkId link, double flows) {
    groups[group].flow.links.push_back({out.color_of[link], flows});
  };
  EachFlow([&](size_t c, size_t s, const Flow& f, size_t i) {
    const size_t group = join(flow_color_[i], c, s, f.start, f.bytes, f.multiplicity);
    for (const LinkShare& l : f.links)
      if (is_first(l.link)) add(group, l.link, l.share * static_cast<double>(f.multiplicity));
  });
  size_t e = 0;
  for (size_t c = 0; c < chains_.size(); ++c)
    for (const EvenStart& even : chains_[c].even) {
      const auto kinds = even.pairs.kinds();
      for (size_t k = 0; k < kinds.size(); ++k) {
        const size_t group = join(even_color_[e][k], c, even.stage, even.start,
                                  BytesOf(even, kinds[k]), kinds[k].pairs);
        for (const EvenPairs::Crossing& x : even.pairs.WayOf(kinds[k])) {
          const LinkId first = out.first_of[out.color_of[x.link]];
          if (even.pairs.StandsFor(x, first))
            add(group, first, static_cast<double>(even.pairs.OnEach(kinds[k], x)));
        }
      }
      ++e;
    }
  for (const FlowChain& chain : chains_) {
    FlowChain& c = out.chains.emplace_back();
    c.stages.resize(chain.stages.size());
    c.endless = chain.endless;
  }
  for (Group& g : groups) {
    MergeShares(g.flow.links);
    for (LinkShare& l : g.flow.links) l.share /= static_cast<double>(g.flow.multiplicity);
    out.chains[g.chain].stages[g.stage].push_back(std::move(g.flow));
  }
  return out;
}

}  // namespace

GroupedFlows GroupFlows(std::vector<FlowChain> chains, std::span<const BytesPerSecond> capacity,
                        std::span<const CapacityChange> changes, const Cluster& cluster) {
  Partition partition(std::move(chains), capacity, changes, cluster);
  return partition.Refine() ? partition.Grouped() : partition.Apart();
}

}  // namespace moecast
