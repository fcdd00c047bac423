// Max-min fair sharing in time: at every moment each flow has the rate of sim/network/fair_shares.h.
//
// Flows with the same link shares are one kind, however many they are and whenever they started: at any
// moment they have one rate, so that one running sum of bytes per flow serves them all, and each ends when
// that sum has grown by its bytes. Kinds that share links, directly or over others, are a component; a start,
// an end or a new capacity solves the components it touches and no other. Everything that happens at one time
// is solved once. A kind stays known after its last flow, so that flows that come again are found by their
// links.
#pragma once

#include <queue>
#include <unordered_map>

#include "sim/network/fair_shares.h"
#include "sim/network/network.h"

namespace moecast {

class FluidNetwork final : public Network {
 public:
  explicit FluidNetwork(std::span<const BytesPerSecond> capacity);  // by LinkId

  FlowId Start(Time now, std::span<const LinkShare> links, Bytes bytes, int multiplicity) override;
  Time Next() override;
  void Advance(Time to, std::vector<FlowId>& done) override;
  void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) override;
  std::vector<LinkId> Blocked() override;

  // Times that a component has been solved, for tests and benchmarks of how much is solved.
  int64_t solved() const { return solved_; }

 private:
  struct Use {
    LinkId link;
    int32_t at = 0;  // place in the link's list while the kind has flows
    double share;
  };
  struct Member {
    double end;  // of Kind::served
    FlowId id;
    int32_t multiplicity;
    bool operator<(const Member& o) const { return end > o.end; }  // heap: the first to end on top
  };
  struct Kind {
    int64_t first_use = 0;
    int32_t uses = 0;
    int32_t same_hash = -1;  // the next kind of that hash
    int64_t flows = 0;
    double rate = 0;    // bytes per second of one flow
    double served = 0;  // bytes per flow, up to `since`
    Time since, next = kNever;
    int32_t component = -1;
    int64_t seen = 0;
    std::vector<Member> members;
  };
  struct Link {
    double capacity = 0;
    int32_t number = 0;
    bool dirty = false;
    int64_t seen = 0;
    std::vector<std::pair<int32_t, int32_t>> kinds;  // (kind, which of its uses)
  };
  // Kinds that were solved together, until one of their links is touched.
  struct Component {
    std::vector<int32_t> kinds;
    int64_t version = 0;  // of events; grows when the component is given up
    bool alive = false;
  };
  struct Event {
    Time time;
    int32_t component;
    int64_t version;
    bool operator<(const Event& o) const { return time > o.time; }
  };

  std::span<Use> UsesOf(const Kind& k) { return {uses_.data() + k.first_use, static_cast<size_t>(k.uses)}; }
  int32_t KindOf(std::span<const LinkShare> shares);
  void MoveTo(Time now);
  void Serve(Kind& kind);
  void Touch(LinkId link);
  void Join(int32_t kind);
  void Leave(int32_t kind);
  void Solve();
  void SolveComponent(LinkId from);

  Time now_;
  FlowId next_id_ = 0;
  int64_t solved_ = 0, seen_ = 0;
  std::vector<Link> links_;
  std::vector<Use> uses_;
  std::vector<Kind> kinds_;
  std::unordered_map<uint64_t, int32_t> by_hash_;
  std::vector<FlowId> done_at_once_;
  std::vector<LinkId> dirty_;
  std::vector<Component> components_;
  std::vector<int32_t> free_components_, given_up_;
  std::priority_queue<Event> events_;
  // Memory of SolveComponent.
  FairShares shares_;
  std::vector<LinkId> reached_;
  std::vector<int32_t> gathered_;
};

}  // namespace moecast
