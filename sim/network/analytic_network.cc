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

void AnalyticNetwork::Rate(FlowId id, Alive& flow) {
  if (flow.rate > 0) flow.left -= flow.rate * (now_ - flow.since).seconds().value;
  flow.since = now_;
  flow.rate = std::numeric_limits<double>::infinity();
  for (const LinkShare& s : flow.links) flow.rate = std::min(flow.rate, capacity_[s.link] / s.share);
  flow.end = CompletionTime(now_, flow.left, flow.rate);
  if (flow.end != kNever) ends_[flow.end].push_back(id);
}

FlowId AnalyticNetwork::Start(Time now, std::span<const LinkShare> links, Bytes bytes, int multiplicity) {
  MOECAST_CHECK(multiplicity >= 1 && bytes.value >= 0);
  MoveTo(now);
  Alive flow{.links = CanonicalShares(links, capacity_.size()), .left = bytes.value};
  for (LinkShare& s : flow.links) s.share *= multiplicity;
  if (bytes.value == 0) flow.links.clear();
  flow.since = now;
  Rate(next_id_, alive_.emplace(next_id_, std::move(flow)).first->second);
  return next_id_++;
}

Time AnalyticNetwork::Next() {
  while (!ends_.empty()) {
    auto& [end, ids] = *ends_.begin();
    std::erase_if(ids, [this, end = end](FlowId id) {
      const auto flow = alive_.find(id);
      return flow == alive_.end() || flow->second.end != end;
    });
    if (!ids.empty()) return end;
    ends_.erase(ends_.begin());
  }
  return kNever;
}

void AnalyticNetwork::Advance(Time to, std::vector<FlowId>& done) {
  MoveTo(to);
  if (Next() != to || to == kNever) return;
  auto ids = std::move(ends_.begin()->second);
  ends_.erase(ends_.begin());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (const FlowId id : ids) alive_.erase(id);
  done.insert(done.end(), ids.begin(), ids.end());
}

void AnalyticNetwork::SetCapacity(Time now, LinkId link, BytesPerSecond capacity) {
  MOECAST_CHECK(link >= 0 && static_cast<size_t>(link) < capacity_.size() && capacity.value >= 0);
  MoveTo(now);
  capacity_[link] = capacity.value;
  for (auto& [id, flow] : alive_)
    if (std::ranges::any_of(flow.links, [link](const LinkShare& s) { return s.link == link; }))
      Rate(id, flow);
}

std::vector<LinkId> AnalyticNetwork::Blocked() {
  std::set<LinkId> blocked;
  for (const auto& [id, flow] : alive_)
    for (const LinkShare& s : flow.links)
      if (capacity_[s.link] == 0) blocked.insert(s.link);
  return {blocked.begin(), blocked.end()};
}

}  // namespace moecast
