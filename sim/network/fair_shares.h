// Max-min fair rates of flows on links by progressive filling (Bertsekas and Gallager, Data
// Networks, 2nd ed., section 6.5.2): all flows grow at one rate until a link is full; its flows
// keep that rate, the others grow on. The rates are kept while flows come and go.
//
// What comes or goes moves no rate below its own: a link that is full at a lower rate does not
// carry it, so that filling passes through the same states up to there. Solve therefore goes
// outwards from the links that were touched over kinds that are at least as fast, and leaves what
// is slower as it is.
//
// Which flows come first changes no bit of the result: sums over flows are taken in fixed point,
// which is exact, and links that fill at one rate to rounding fill in one round.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sim/network/network.h"

namespace moecast {

class FairShares {
 public:
  explicit FairShares(std::span<const BytesPerSecond> capacity);  // by LinkId

  struct Use {
    LinkId link;
    int32_t at;  // place in the link's list while there are flows
    double share;
  };

  // A kind of flows with these shares, none as yet; its number, from 0. REQUIRES: each link once;
  // not empty.
  int32_t Add(std::span<const LinkShare> shares);
  // Other shares in place of its own. REQUIRES: it has no flows.
  void Redefine(int32_t kind, std::span<const LinkShare> shares);
  void Change(int32_t kind, int64_t flows);  // so many more, or fewer. REQUIRES: none below 0
  void SetCapacity(LinkId link, BytesPerSecond capacity);

  // Rates all kinds anew that may have another rate than at the last call: which, each once, in no
  // order. Valid until the next call of anything.
  std::span<const int32_t> Solve();

  double rate(int32_t kind) const {
    return rate_[kind];
  }  // bytes per second of one flow, as of Solve
  std::span<const Use> UsesOf(int32_t kind) const { return kinds_[kind].uses; }
  std::vector<LinkId> Blocked() const;  // links without capacity that carry flows, ascending

 private:
  // Bytes on a link per byte of a flow, or bytes per second, times 2^64. Of a double no bit is lost
  // above 2^-12.
  __extension__ using Exact = __int128;
  static Exact ExactOf(double x);

  struct Kind {
    int64_t flows = 0;
    std::vector<Use> uses;
  };
  struct OnLink {
    int32_t kind;
    int32_t use;
  };
  struct Link {
    double capacity = 0;
    Exact weight = 0;  // of all its flows
    std::vector<OnLink> kinds;
    double touched_from = kUntouched;  // rates from this one on may have changed
    // Of the solution under way.
    int64_t seen = 0;
    Exact growing = 0;  // weight of flows without a rate
    Exact filled = 0;   // of that, what gets its rate in this round
    double used = 0;    // bytes per second
    double level = 0;   // rate at which it is full
  };
  static constexpr double kUntouched = -1;

  void Join(int32_t kind);
  void Leave(int32_t kind);
  void Touch(LinkId link, double from);
  void SolveFrom(LinkId first, double from);
  void Fill();
  void FixOn(Link& link, double rate);
  static double LevelOf(const Link& link);

  std::vector<Link> links_;
  std::vector<Kind> kinds_;
  // By kind, apart because solving looks at all of a link's.
  std::vector<double> rate_;
  std::vector<int64_t> seen_;
  std::vector<int32_t> grown_;  // kinds with more flows than at the last Solve
  std::vector<LinkId> touched_;
  int64_t solve_ = 0;
  // Memory of Solve: kinds rated anew; links reached and in this round; links by the level they
  // last had.
  std::vector<int32_t> solved_;
  std::vector<LinkId> reached_;
  std::vector<LinkId> filling_;
  std::vector<LinkId> changed_;
  std::vector<std::pair<double, LinkId>> by_level_;
};

}  // namespace moecast
