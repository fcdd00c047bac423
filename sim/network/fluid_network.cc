#include "sim/network/fluid_network.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "sim/network/link_shares.h"

namespace moecast {
namespace {

constexpr size_t kFirstBuckets = 64;  // a power of two, as all later numbers

uint64_t HashOf(std::span<const LinkShare> shares) {
  uint64_t hash = shares.size();
  for (const LinkShare& s : shares) {
    hash = Random(hash ^ static_cast<uint64_t>(s.link)).Next();
    hash = Random(hash ^ std::bit_cast<uint64_t>(s.share)).Next();
  }
  return hash;
}

}  // namespace

FluidNetwork::FluidNetwork(std::span<const BytesPerSecond> capacity)
    : links_(capacity.size()), shares_(capacity), buckets_(kFirstBuckets, -1) {}

// The kind of these shares, a new one where there is none.
int32_t FluidNetwork::KindOf(std::span<const LinkShare> shares) {
  const auto equal = [](const FairShares::Use& use, const LinkShare& s) {
    return use.link == s.link && use.share == s.share;
  };
  const uint64_t hash = HashOf(shares);
  for (int32_t k = BucketOf(hash); k >= 0; k = kinds_[k].same_bucket)
    if (kinds_[k].hash == hash && std::ranges::equal(shares_.UsesOf(k), shares, equal)) return k;

  const int32_t kind = NewKind(shares);
  kinds_[kind].hash = hash;
  kinds_[kind].same_bucket = std::exchange(BucketOf(hash), kind);
  return kind;
}

// In place of one without flows where there are many.
int32_t FluidNetwork::NewKind(std::span<const LinkShare> shares) {
  ++idle_;
  if (idle_ <= kMostIdle || 2 * idle_ <= kinds_.size()) {
    kinds_.emplace_back();
    if (kinds_.size() > buckets_.size()) Rehash();
    return shares_.Add(shares);
  }
  while (!kinds_[hand_].members.empty()) hand_ = (hand_ + 1) % kinds_.size();
  const auto kind = static_cast<int32_t>(std::exchange(hand_, (hand_ + 1) % kinds_.size()));
  int32_t* at = &BucketOf(kinds_[kind].hash);
  while (*at != kind) at = &kinds_[*at].same_bucket;
  *at = kinds_[kind].same_bucket;
  shares_.Redefine(kind, shares);
  --idle_;
  return kind;
}

void FluidNetwork::Rehash() {
  const std::vector<int32_t> before = std::exchange(buckets_, std::vector(2 * buckets_.size(), -1));
  for (int32_t k : before)
    while (k >= 0) {
      int32_t& bucket = BucketOf(kinds_[k].hash);
      const int32_t next = std::exchange(kinds_[k].same_bucket, bucket);
      bucket = std::exchange(k, next);
    }
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

void FluidNetwork::Start(Time now, std::span<const LinkShare> links, Bytes bytes,
                         int64_t multiplicity, FlowTag tag) {
  Resume(now, links, bytes, Bytes(0), multiplicity, tag);
}

void FluidNetwork::Resume(Time now, std::span<const LinkShare> links, Bytes bytes, Bytes served,
                          int64_t multiplicity, FlowTag tag) {
  MOECAST_CHECK(multiplicity >= 1 && bytes.value >= 0);
  MoveTo(now);
  const int64_t order = started_++;
  if (links.empty() || bytes.value == 0) {
    ended_.emplace_back(order, tag);
    return;
  }
  CanonicalShares(links, links_, canonical_);
  const int32_t number = KindOf(canonical_);
  Kind& kind = kinds_[number];
  if (kind.members.empty()) {
    --idle_;
    kind.rate = 0;
    kind.served = served.value;
    kind.since = now_;
  }
  Serve(kind);
  kind.members.push_back({kind.served - served.value + bytes.value, order, multiplicity, tag});
  std::push_heap(kind.members.begin(), kind.members.end());
  shares_.Change(number, multiplicity);
  ends_.Set(number, kNever);
}

void FluidNetwork::Cancel(Time now, FlowTag tag) {
  MoveTo(now);
  std::erase_if(ended_, [&](const auto& ended) { return ended.second == tag; });
  for (size_t k = 0; k < kinds_.size(); ++k) {
    Kind& kind = kinds_[k];
    int64_t flows = 0;
    for (const Member& member : kind.members) flows += member.tag == tag ? member.multiplicity : 0;
    if (flows == 0) continue;
    Serve(kind);
    std::erase_if(kind.members, [&](const Member& member) { return member.tag == tag; });
    std::make_heap(kind.members.begin(), kind.members.end());
    const auto number = static_cast<int32_t>(k);
    ends_.Set(number, kNever);
    if (kind.members.empty()) ++idle_;
    shares_.Change(number, -flows);
  }
}

Time FluidNetwork::Next() {
  return ended_.empty() ? NextEnd() : now_;
}

// With the rates as they are from now on.
Time FluidNetwork::NextEnd() {
  for (const int32_t number : shares_.Solve()) {
    Kind& kind = kinds_[number];
    Serve(kind);
    kind.rate = shares_.rate(number);
    ends_.Set(number, CompletionTime(now_, kind.members.front().end - kind.served, kind.rate));
  }
  return ends_.empty() ? kNever : ends_.first().at;
}

// Whatever ends in the same picosecond ends now.
void FluidNetwork::EndMembers(int32_t number) {
  Kind& kind = kinds_[number];
  int64_t flows = 0;
  Serve(kind);
  do {
    const Member& first = kind.members.front();
    ended_.emplace_back(first.order, first.tag);
    flows += first.multiplicity;
    std::pop_heap(kind.members.begin(), kind.members.end());
    kind.members.pop_back();
  } while (!kind.members.empty() &&
           CompletionTime(now_, kind.members.front().end - kind.served, kind.rate) <= now_);
  ends_.Set(number, kNever);
  if (kind.members.empty()) ++idle_;
  shares_.Change(number, -flows);
}

void FluidNetwork::Advance(Time to, std::vector<FlowTag>& done) {
  MoveTo(to);
  while (NextEnd() == to && to != kNever)
    while (!ends_.empty() && ends_.first().at == to) EndMembers(ends_.first().id);
  std::ranges::sort(ended_);
  for (const auto& [order, tag] : ended_) done.push_back(tag);
  ended_.clear();
}

void FluidNetwork::SetCapacity(Time now, LinkId link, BytesPerSecond capacity) {
  MoveTo(now);
  shares_.SetCapacity(link, capacity);
}

std::vector<LinkId> FluidNetwork::Blocked() {
  return shares_.Blocked();
}

}  // namespace moecast
