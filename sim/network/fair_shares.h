// Max-min fair rates of flows on links by progressive filling (Bertsekas and Gallager, Data Networks, 2nd
// ed., section 6.5.2): all flows grow at one rate until a link is full; its flows keep that rate, the others
// grow on.
//
// Which flows come first changes no bit of the result: sums over flows are taken in fixed point, which is
// exact, and links that fill at one rate to rounding fill in one round.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moecast {

// Bytes on a link per byte of a flow, times 2^64. Of a double no bit is lost above 2^-12.
__extension__ using ExactShare = __int128;
ExactShare Exact(double share);

class FairShares {
 public:
  // A problem is written anew for each solution; the memory stays.
  void Clear();
  int AddLink(double capacity);             // bytes per second; its number, from 0
  int AddKind(int64_t flows);               // of so many equal flows; its number, from 0
  void AddUse(int link, ExactShare share);  // by the kind added last; each of its links once

  // Bytes per second of one flow of each kind. Kinds without uses have none (infinity).
  std::span<const double> Solve();

 private:
  struct Use {
    int32_t link;
    int32_t kind;
    ExactShare share;
  };
  double LevelOf(int link) const;

  std::vector<double> capacity_, used_, level_;  // by link
  std::vector<ExactShare> weight_, filled_;      // by link: of flows that still grow; of those of this round
  std::vector<int64_t> flows_;                   // by kind
  std::vector<int32_t> kind_begin_;              // into uses_
  std::vector<Use> uses_;
  std::vector<int32_t> link_begin_, link_kinds_;  // kinds on a link
  std::vector<double> rates_;
  std::vector<int32_t> growing_, touched_;  // links
};

}  // namespace moecast
