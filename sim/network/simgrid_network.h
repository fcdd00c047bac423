// The reference: SimGrid (model CM02 without latencies) in a process of its own, moecast-simgrid,
// since SimGrid's engine is one per process and its clock is never reset. Flows are not grouped: a
// start of multiplicity n is n of SimGrid's communications. A link that a flow uses n times is n
// times in its route; SimGrid knows no other shares. Bytes are rounded to 1/1024.
//
// Every call of the helper may throw UserError: it has died, with its words, or is of another
// version. So does a start beyond kMostAtOnce flows.
#pragma once

#include <memory>
#include <unordered_map>

#include "base/child_process.h"
#include "sim/network/network.h"

namespace moecast {

class SimgridNetwork final : public Network {
 public:
  // SimGrid's time grows with the square of the flows that are under way at once: 4,000 of
  // different sizes take it 3 s to their ends, these 20.
  static constexpr int64_t kMostAtOnce = 10'000;

  // `helper` runs moecast-simgrid. Throws UserError where it speaks another version of the
  // protocol.
  SimgridNetwork(std::unique_ptr<ChildProcess> helper, std::span<const BytesPerSecond> capacity);

  // REQUIRES: each share, summed over a link named more than once, is a whole number up to 1000.
  void Start(Time now, std::span<const LinkShare> links, Bytes bytes, int64_t multiplicity,
             FlowTag tag) override;
  Time Next() override;
  void Advance(Time to, std::vector<FlowTag>& done) override;
  void SetCapacity(Time now, LinkId link, BytesPerSecond capacity) override;
  std::vector<LinkId> Blocked() override;

 private:
  std::string Ask(std::string_view question, std::string_view answer);

  std::unique_ptr<ChildProcess> helper_;
  size_t links_;
  struct Started {
    FlowTag tag;
    int64_t multiplicity;
  };
  std::unordered_map<int64_t, Started> alive_;  // by the helper's number
  int64_t started_ = 0;
  int64_t at_once_ = 0;
};

}  // namespace moecast
