// Flows on links drawn at random, and the slow reference: water-filling flow by flow.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "base/random.h"
#include "sim/network/flows.h"

namespace moecast {

struct RandomNetwork {
  std::vector<BytesPerSecond> capacity;
  std::vector<Flow> flows;
};

// Up to `flows` starts on up to 12 links; with `whole_shares` only what every network knows.
inline RandomNetwork DrawNetwork(Random& random, size_t flows, bool whole_shares) {
  RandomNetwork n;
  const size_t links = 1 + random.Below(12);
  for (size_t l = 0; l < links; ++l)
    n.capacity.push_back(GBps(random.Below(3) == 0 ? 50 : 1 + 200 * random.Uniform()));
  const size_t count = 1 + random.Below(flows);
  const double spread = random.Below(2) == 0 ? 0 : 1e-3;  // all at once, or over a millisecond
  for (size_t i = 0; i < count; ++i) {
    Flow f{.start = Time::From(Seconds(spread * random.Uniform())),
           .bytes = random.Below(4) == 0 ? MB(8) : MB(0.1 + 20 * random.Uniform()),
           .multiplicity = random.Below(3) == 0 ? 1 + static_cast<int>(random.Below(5)) : 1};
    const size_t hops = 1 + random.Below(std::min<size_t>(4, links));
    for (size_t h = 0; h < hops; ++h) {
      const double share = random.Below(4) != 0 ? 1
                           : whole_shares       ? static_cast<double>(1 + random.Below(3))
                                                : 0.01 + 2 * random.Uniform();
      f.links.push_back({static_cast<LinkId>(random.Below(links)), share});
    }
    n.flows.push_back(f);
  }
  return n;
}

inline double ShareOn(const Flow& f, size_t link) {
  double share = 0;
  for (const LinkShare& s : f.links) share += static_cast<size_t>(s.link) == link ? s.share : 0;
  return share;
}

// One flow's rate for each start: the link that would be full first, its flows fixed, and again.
inline std::vector<double> WaterFilling(const std::vector<Flow>& flows,
                                        const std::vector<double>& capacity) {
  std::vector<double> rates(flows.size(), -1);
  while (true) {
    double level = std::numeric_limits<double>::infinity();
    size_t tightest = capacity.size();
    for (size_t l = 0; l < capacity.size(); ++l) {
      double left = capacity[l], growing = 0;
      for (size_t f = 0; f < flows.size(); ++f) {
        const double weight = ShareOn(flows[f], l) * static_cast<double>(flows[f].multiplicity);
        (rates[f] < 0 ? growing : left) += rates[f] < 0 ? weight : -weight * rates[f];
      }
      if (growing > 0 && left / growing < level) {
        level = left / growing;
        tightest = l;
      }
    }
    if (tightest == capacity.size()) return rates;
    for (size_t f = 0; f < flows.size(); ++f)
      if (rates[f] < 0 && ShareOn(flows[f], tightest) > 0) rates[f] = std::max(0.0, level);
  }
}

// Ends in seconds, all flows rated anew at every event, in floating point throughout.
inline std::vector<double> WaterFillingEnds(const RandomNetwork& n) {
  const double kInfinite = std::numeric_limits<double>::infinity();
  std::vector<double> capacity, end(n.flows.size(), kInfinite), left;
  for (const BytesPerSecond c : n.capacity) capacity.push_back(c.value);
  for (const Flow& f : n.flows) left.push_back(f.bytes.value);
  double now = 0;
  while (true) {
    std::vector<size_t> alive;
    std::vector<Flow> flows;
    double next = kInfinite;
    for (size_t f = 0; f < n.flows.size(); ++f) {
      const double start = n.flows[f].start.seconds().value;
      if (start > now) next = std::min(next, start);
      if (start > now || end[f] != kInfinite) continue;
      alive.push_back(f);
      flows.push_back(n.flows[f]);
    }
    const std::vector<double> rates = WaterFilling(flows, capacity);
    for (size_t i = 0; i < alive.size(); ++i)
      next = std::min(next, now + left[alive[i]] / rates[i]);
    if (next == kInfinite) return end;
    for (size_t i = 0; i < alive.size(); ++i) {
      left[alive[i]] -= rates[i] * (next - now);
      if (left[alive[i]] <= 1e-13 * rates[i]) end[alive[i]] = next;
    }
    now = next;
  }
}

}  // namespace moecast
