// Each start alone on idle links, at the capacities of its moment: bytes over the slowest share, the flows of
// one start counted together. A lower bound: what others put on the links is left out.
#pragma once

#include <map>

#include "sim/network/network.h"

namespace moecast {

class AnalyticNetwork final : public Network {
 public:
  explicit AnalyticNetwork(std::span<const BytesPerSecond> capacity);  // by LinkId

  FlowId Start(Time now, std::span<const LinkShare> links, Bytes bytes, int multiplicity) override;
  Time Next() override;
  void Advance(Time to, std::vector<FlowId>& done) override;
  // Flows on the link go on at the new rate; they are looked for among all that are alive.
  void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) override;
  std::vector<LinkId> Blocked() override;

 private:
  struct Alive {
    std::vector<LinkShare> links;  // shares of all its flows together
    double left = 0;               // bytes of one flow at `since`
    double rate = 0;
    Time since, end;
  };
  void MoveTo(Time now);
  void Rate(FlowId id, Alive& flow);

  std::vector<double> capacity_;
  Time now_;
  FlowId next_id_ = 0;
  std::map<FlowId, Alive> alive_;
  std::map<Time, std::vector<FlowId>> ends_;  // may hold what has been rated anew since: end tells
};

}  // namespace moecast
