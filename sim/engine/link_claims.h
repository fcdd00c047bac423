// Who may use a link, and who does: what a run of a schedule needs to find collectives that meet.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/engine/linked_schedule.h"

namespace moecast {

class LinkClaims {
 public:
  // A collective under way. `party`: whose; what one party has under way never meets itself.
  struct UnderWay {
    int32_t party;
    FlowTag tag;
    int32_t claim;  // of the party's program
    Time end;       // kNever: on the network, where it ends when that says
  };

  explicit LinkClaims(size_t links) : parties_(links), under_way_(links) {}

  // The party may use these links from now on, or no longer. `links` each once.
  void Enter(int32_t party, std::span<const LinkId> links) {
    for (const LinkId l : links) parties_[l].push_back(party);
  }
  void Leave(int32_t party, std::span<const LinkId> links) {
    for (const LinkId l : links) std::erase(parties_[l], party);
  }
  std::span<const int32_t> PartiesOn(LinkId link) const { return parties_[link]; }
  // Whether another party may use one of the links that a party has entered.
  bool Crowded(std::span<const LinkId> links) const {
    return std::ranges::any_of(links, [this](LinkId l) { return parties_[l].size() > 1; });
  }

  void Put(const UnitCollective& unit, const UnderWay& what) {
    for (const LinkId l : unit.meets) under_way_[l].push_back(what);
  }
  void Drop(const UnitCollective& unit, FlowTag tag) {
    for (const LinkId l : unit.meets)
      std::erase_if(under_way_[l], [tag](const UnderWay& u) { return u.tag == tag; });
  }
  // Adds what other parties have under way at `now` on the links of the collective.
  void Meet(const UnitCollective& unit, int32_t party, Time now, std::vector<UnderWay>& out) {
    for (const LinkId l : unit.meets) {
      std::erase_if(under_way_[l], [now](const UnderWay& u) { return u.end <= now; });
      for (const UnderWay& u : under_way_[l])
        if (u.party != party) out.push_back(u);
    }
  }

 private:
  // By link. Few of each.
  std::vector<std::vector<int32_t>> parties_;
  std::vector<std::vector<UnderWay>> under_way_;
};

}  // namespace moecast
