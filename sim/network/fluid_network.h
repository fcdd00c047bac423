// Max-min fair sharing in time: at every moment each flow has the rate of
// sim/network/fair_shares.h.
//
// Flows with the same link shares are one kind, however many they are and whenever they started: at
// any moment they have one rate, so that one running sum of bytes per flow serves them all, and
// each ends when that sum has grown by its bytes. Everything that happens at one time is solved
// once. A kind stays known for a while after its last flow, so that flows that come again are found
// by their links.
#pragma once

#include "sim/network/agenda.h"
#include "sim/network/fair_shares.h"
#include "sim/network/network.h"

namespace moecast {

class FluidNetwork final : public Network {
 public:
  explicit FluidNetwork(std::span<const BytesPerSecond> capacity);  // by LinkId

  void Start(Time now, std::span<const LinkShare> links, Bytes bytes, int64_t multiplicity,
             FlowTag tag) override;
  // Of flows that began before and have had their links to themselves since: `served` bytes of each
  // are through. REQUIRES: as Start; served >= 0.
  void Resume(Time now, std::span<const LinkShare> links, Bytes bytes, Bytes served,
              int64_t multiplicity, FlowTag tag);
  // The flows of all starts of this tag are gone, and are not told as done. REQUIRES: as Start.
  void Cancel(Time now, FlowTag tag);
  Time Next() override;
  void Advance(Time to, std::vector<FlowTag>& done) override;
  void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) override;
  std::vector<LinkId> Blocked() override;

  // Kinds in memory: at most kMostIdle and those under way at once, or twice these.
  size_t kinds() const { return kinds_.size(); }
  static constexpr size_t kMostIdle = 1 << 14;

 private:
  struct Member {
    double end;  // of Kind::served
    int64_t order;
    int64_t multiplicity;
    FlowTag tag;
    bool operator<(const Member& o) const { return end > o.end; }  // heap: the first to end on top
  };
  struct Kind {
    uint64_t hash = 0;
    int32_t same_bucket = -1;  // the next kind there
    double rate = 0;           // bytes per second of one flow
    double served = 0;         // bytes per flow, up to `since`
    Time since;
    std::vector<Member> members;
  };

  int32_t& BucketOf(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  int32_t KindOf(std::span<const LinkShare> shares);
  int32_t NewKind(std::span<const LinkShare> shares);
  void Rehash();
  void MoveTo(Time now);
  Time NextEnd();
  void Serve(Kind& kind);
  void EndMembers(int32_t kind);

  Time now_;
  int64_t started_ = 0;
  size_t links_;
  FairShares shares_;
  std::vector<Kind> kinds_;  // by number of FairShares
  size_t idle_ = 0;          // kinds without flows
  size_t hand_ = 0;          // where the next to forget is looked for
  std::vector<int32_t> buckets_;
  Agenda ends_;                                     // by kind; none where it is to be solved
  std::vector<std::pair<int64_t, FlowTag>> ended_;  // by how many were started before; not yet told
  std::vector<LinkShare> canonical_;                // memory of Start
};

}  // namespace moecast
