#include "sim/network/analytic_network.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/check.h"
#include "sim/network/link_shares.h"

namespace moecast {

AnalyticNetwork::AnalyticNetwork(std::span<const BytesPerSecond> capacity) {
  for (const BytesPerSecond c : capacity) {
    MOECAST_CHECK(c.value >= 0);
    capacity_.push_back(c.value);
  }
}

void AnalyticNetwork::MoveTo(Time now) {
  MOECAST_CHECK(now >= now_ && now <= Next());
  now_ = now;
}

void AnalyticNetwork::Rate(int64_t order, Alive& flow) {
  if (flow.rate > 0) flow.left -= flow.rate * (now_ - flow.since).seconds().value;
  flow.since = now_;
  flow.rate = std::numeric_limits<double>::infinity();
  for (const LinkShare& s : flow.links)
    flow.rate = std::min(flow.rate, capacity_[s.link] / s.share);
  flow.end = CompletionTime(now_, flow.left, flow.rate);
  if (flow.end != kNever) ends_[flow.end].push_back(order);
}

void AnalyticNetwork::Start(Time now, std::span<const LinkShare> links, Bytes bytes,
                            int64_t multiplicity, FlowTag tag) {
  MOECAST_CHECK(multiplicity >= 1 && bytes.value >= 0);
  MoveTo(now);
  Alive flow{.left = bytes.value};
  CanonicalShares(links, capacity_.size(), flow.links);
  for (LinkShare& s : flow.links) s.share *= static_cast<double>(multiplicity);
  if (bytes.value == 0) flow.links.clear();
  flow.since = now;
  flow.tag = tag;
  Rate(started_, alive_.emplace(started_, std::move(flow)).first->second);
  ++started_;
}

Time AnalyticNetwork::Next() {
  while (!ends_.empty()) {
    auto& [end, orders] = *ends_.begin();
    std::erase_if(orders, [this, end = end](int64_t order) {
      const auto flow = alive_.find(order);
      return flow == alive_.end() || flow->second.end != end;
    });
    if (!orders.empty()) return end;
    ends_.erase(ends_.begin());
  }
  return kNever;
}

void AnalyticNetwork::Advance(Time to, std::vector<FlowTag>& done) {
  MoveTo(to);
  if (Next() != to || to == kNever) return;
  auto orders = std::move(ends_.begin()->second);
  ends_.erase(ends_.begin());
  std::sort(orders.begin(), orders.end());
  orders.erase(std::unique(orders.begin(), orders.end()), orders.end());
  for (const int64_t order : orders) {
    const auto flow = alive_.find(order);
    done.push_back(flow->second.tag);
    alive_.erase(flow);
  }
}

void AnalyticNetwork::SetCapacity(Time now, LinkId link, BytesPerSecond capacity) {
  MOECAST_CHECK(link >= 0 && static_cast<size_t>(link) < capacity_.size() && capacity.value >= 0);
  MoveTo(now);
  capacity_[link] = capacity.value;
  for (auto& [order, flow] : alive_)
    if (std::ranges::any_of(flow.links, [link](const LinkShare& s) { return s.link == link; }))
      Rate(order, flow);
}

std::vector<LinkId> AnalyticNetwork::Blocked() {
  std::set<LinkId> blocked;
  for (const auto& [order, flow] : alive_)
    for (const LinkShare& s : flow.links)
      if (capacity_[s.link] == 0) blocked.insert(s.link);
  return {blocked.begin(), blocked.end()};
}

}  // namespace moecast
