#include "topology/routes.h"

#include <algorithm>

#include "base/random.h"

namespace moecast {
namespace {

constexpr Path kNoWay{.size = -1, .links = {}};

uint64_t Mixed(uint64_t hash, uint64_t with) {
  return Random(hash ^ with).Next();
}

}  // namespace

Routes::Routes(const Cluster& c)
    : gpus_(c.gpus),
      gpus_per_node_(c.gpus_per_node),
      gpus_per_nic_(c.gpus_per_node / c.nics()),
      plain_(!c.switches.value && c.cut.empty() && gpus_per_nic_ == 1),
      cut_(c.cut),
      fabric_(c.switches.value) {}

bool Routes::Works(LinkId port) const {
  return cut_.empty() || !std::binary_search(cut_.begin(), cut_.end(), port);
}

int Routes::NicOwner(int gpu) const {
  return gpu - gpu % gpus_per_nic_;
}

bool Routes::OverNvlink(int from, int to, Path& path) const {
  const LinkId out = LinkOf(from, Port::kNvlinkOut), in = LinkOf(to, Port::kNvlinkIn);
  if (!Works(out) || !Works(in)) return false;
  path.Push(out);
  path.Push(in);
  return true;
}

bool Routes::OverNics(int from, int to, uint64_t key, Path& path) const {
  const int a = NicOwner(from), b = NicOwner(to);
  const LinkId out = LinkOf(a, Port::kNicOut), in = LinkOf(b, Port::kNicIn);
  if (!Works(out) || !Works(in)) return false;
  const int32_t size = path.size;
  path.Push(out);
  if (fabric_) {
    const FatTree& tree = fabric_->tree();
    int at = tree.LeafOf(a / gpus_per_node_, RailOf(a));
    const int leaf = tree.LeafOf(b / gpus_per_node_, RailOf(b));
    Random hash(key);
    while (at != leaf) {
      const auto hops = fabric_->NextHops(at, leaf);
      if (hops.empty()) {
        path.size = size;
        return false;
      }
      const int32_t link = hops.size() == 1 ? hops[0] : hops[hash.Below(hops.size())];
      path.Push(4 * gpus_ + link);
      at = fabric_->links()[static_cast<size_t>(link)].to;
    }
  }
  path.Push(in);
  return true;
}

Path Routes::Search(int from, int to, uint32_t flow_label) const {
  Path path;
  if (from == to) return path;
  if (SameNode(from, to) && OverNvlink(from, to, path)) return path;
  const uint64_t key =
      Mixed(Mixed(Mixed(0, static_cast<uint64_t>(from)), static_cast<uint64_t>(to)), flow_label);
  if (OverNics(from, to, key, path)) return path;

  // The GPUs of a node but one, those of a rail first.
  const auto mates = [&](int gpu, int rail) {
    std::vector<int> others;
    const int first = gpu - gpu % gpus_per_node_, last = std::min(first + gpus_per_node_, gpus_);
    for (const bool of_rail : {true, false})
      for (int g = first; g < last; ++g)
        if (g != gpu && (RailOf(g) == rail) == of_rail) others.push_back(g);
    return others;
  };
  const std::vector<int> senders = mates(from, RailOf(to)), receivers = mates(to, RailOf(from));
  const auto through = [&](int sender, int receiver) {
    path.size = 0;
    return (sender == from || OverNvlink(from, sender, path)) &&
           OverNics(sender, receiver, key, path) &&
           (receiver == to || OverNvlink(receiver, to, path));
  };
  for (const int sender : senders)
    if (through(sender, to)) return path;
  for (const int receiver : receivers)
    if (through(from, receiver)) return path;
  for (const int sender : senders)
    for (const int receiver : receivers)
      if (sender != receiver && through(sender, receiver)) return path;
  return kNoWay;
}

}  // namespace moecast
