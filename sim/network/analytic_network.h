// Each start alone on idle links, at the capacities of its moment: bytes over the slowest share,
// the flows of one start counted together. A lower bound: what others put on the links is left out.
#pragma once

#include <map>

#include "sim/network/network.h"

namespace moecast {

class AnalyticNetwork final : public Network {
 public:
  explicit AnalyticNetwork(std::span<const BytesPerSecond> capacity);  // by LinkId

  void Start(Time now, std::span<const LinkShare> links, Bytes bytes, int64_t multiplicity,
             FlowTag tag) override;
  Time Next() override;
  void Advance(Time to, std::vector<FlowTag>& done) override;
  // Flows on the link go on at the new rate; they are looked for among all that are alive.
  void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) override;
  std::vector<LinkId> Blocked() override;

 private:
  struct Alive {
    std::vector<LinkShare> links;  // shares of all its flows together
    double left = 0;               // bytes of one flow at `since`
    double rate = 0;
    Time since, end;
    FlowTag tag = 0;
  };
  void MoveTo(Time now);
  void Rate(int64_t order, Alive& flow);

  std::vector<double> capacity_;
  Time now_;
  int64_t started_ = 0;
  std::map<int64_t, Alive> alive_;  // by how many were started before
  // Of the same numbers; may hold what has been rated anew since: Alive::end tells.
  std::map<Time, std::vector<int64_t>> ends_;
};

}  // namespace moecast
