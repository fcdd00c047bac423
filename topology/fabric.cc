#include "topology/fabric.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/fields.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

constexpr int kFar = 1 << 20;  // more hops than any path
constexpr int kMostLeaves = 4096;
// Every cable is looked at for every leaf: 65,536 GPUs on three full layers of 64-port switches,
// 2,048 leaves and 131,072 cables, take about a second.
constexpr int64_t kMostLooks = int64_t{1} << 28;

std::string Text(double x) {
  return ShowNumber(x, 6);
}

// `x` as a whole number of at least one, or zero where it is none.
int Whole(double x) {
  const double rounded = std::round(x);
  return rounded >= 1 && rounded < 1e9 && std::abs(x - rounded) < 1e-6 * rounded
             ? static_cast<int>(rounded)
             : 0;
}

// The fewest switches that `cables` cables of each of `below` switches reach alike, with `ports(n)`
// ports of each in use; zero where there are too many switches below.
template <class Ports>
int FewestAbove(int cables, int most, const Ports& ports) {
  for (int n = 1; n <= cables; ++n)
    if (cables % n == 0 && ports(n) <= most) return n;
  return 0;
}

// Fills `tree`; the first thing that does not work, if any.
std::optional<FabricFault> Layers(const FabricSpec& spec, int nodes, int nics, BytesPerSecond nic,
                                  FatTree& tree) {
  if (spec.kind == FabricKind::kNonBlocking) return std::nullopt;
  if (nics % spec.planes != 0)
    return FabricFault{"/planes", "a divisor of the node's " + std::to_string(nics) + " NICs"};
  tree.load_balancing = spec.load_balancing;
  tree.nodes_per_leaf = spec.nodes_per_leaf;
  tree.planes = spec.planes;
  tree.leaves_per_unit = spec.rail_optimised ? nics : spec.planes;
  tree.units = (nodes + spec.nodes_per_leaf - 1) / spec.nodes_per_leaf;
  const bool three = spec.layers == 3;
  if (int64_t{tree.units} * tree.leaves_per_unit > kMostLeaves)
    return FabricFault{"/nodes_per_leaf",
                       "more: " + std::to_string(int64_t{tree.units} * tree.leaves_per_unit) +
                           " leaves are more than " + std::to_string(kMostLeaves)};
  tree.units_per_pod = three ? std::min(spec.units_per_pod, tree.units) : tree.units;
  tree.pods = (tree.units + tree.units_per_pod - 1) / tree.units_per_pod;

  const int down = spec.nodes_per_leaf * (nics / tree.leaves_per_unit);
  if (down >= spec.switch_ports)
    return FabricFault{"/nodes_per_leaf",
                       "fewer: " + std::to_string(down) + " NICs of a leaf leave none of its " +
                           std::to_string(spec.switch_ports) + " ports for cables upwards"};
  const double up = down * (nic / spec.cable.value_or(nic)) / spec.oversubscription;
  tree.leaf_cables = Whole(up);
  if (tree.leaf_cables == 0)
    return FabricFault{"/oversubscription", "a whole number of cables upwards, not " + Text(up) +
                                                ", for the " + std::to_string(down) +
                                                " NICs of a leaf"};
  if (down + tree.leaf_cables > spec.switch_ports)
    return FabricFault{"/nodes_per_leaf",
                       "fewer: " + std::to_string(down) + " NICs and " +
                           std::to_string(tree.leaf_cables) + " cables upwards are more than the " +
                           std::to_string(spec.switch_ports) + " ports of a leaf"};

  const int below =
      tree.units_per_pod * tree.leaves_per_unit / tree.planes;  // leaves of a pod and plane
  const auto down_of_spine = [&](int n) { return below * (tree.leaf_cables / n); };
  tree.spines = FewestAbove(tree.leaf_cables, spec.switch_ports, [&](int n) {
    return down_of_spine(n) * (three ? 1 + 1 / spec.pod_oversubscription : 1.0);
  });
  const std::string too_many = std::to_string(below) + " leaves below it are more than the " +
                               std::to_string(spec.switch_ports) + " ports of a spine reach";
  if (tree.spines == 0)
    return three ? FabricFault{"/units_per_pod", "fewer: " + too_many}
                 : FabricFault{"/layers", "3, or more nodes_per_leaf or planes: " + too_many};
  if (!three) return std::nullopt;

  const double spine_up = down_of_spine(tree.spines) / spec.pod_oversubscription;
  tree.spine_cables = Whole(spine_up);
  if (tree.spine_cables == 0)
    return FabricFault{"/pod_oversubscription",
                       "a whole number of cables upwards, not " + Text(spine_up) + ", for the " +
                           std::to_string(down_of_spine(tree.spines)) + " downwards of a spine"};
  tree.cores = FewestAbove(tree.spine_cables, spec.switch_ports,
                           [&](int n) { return tree.pods * (tree.spine_cables / n); });
  if (tree.cores == 0)
    return FabricFault{"/units_per_pod",
                       "more: " + std::to_string(tree.pods) + " pods are more than the " +
                           std::to_string(spec.switch_ports) + " ports of a core"};
  return std::nullopt;
}

std::optional<FabricFault> Size(const FabricSpec& spec, int nodes, int nics, BytesPerSecond nic,
                                FatTree& tree) {
  if (auto fault = Layers(spec, nodes, nics, nic, tree)) return fault;
  if (int64_t{tree.leaves()} * tree.cables() <= kMostLooks) return std::nullopt;
  return FabricFault{"/nodes_per_leaf", "more: " + std::to_string(tree.leaves()) + " leaves and " +
                                            std::to_string(tree.cables()) +
                                            " cables are more than routes are found for"};
}

struct PodPlane {
  int pod;
  int plane;
};
std::string PlacePrefix(const FatTree& t, PodPlane at) {
  std::string prefix;
  if (t.spine_cables > 0) prefix += "pod" + std::to_string(at.pod) + ".";
  if (t.planes > 1) prefix += "plane" + std::to_string(at.plane) + ".";
  return prefix;
}

const char* DirectionName(int directed) {
  return directed % 2 == 0 ? "up" : "down";
}

}  // namespace

const Fields<FabricSpec>& FieldsOf(const FabricSpec*) {
  constexpr Limits kRatio{.low = 1, .high = 64};
  static const Fields<FabricSpec> fields(
      "fabric",
      {
          Row("kind", &FabricSpec::kind,
              "non-blocking: every NIC at its rate to every other; fat-tree: switches in layers"),
          Row("layers", &FabricSpec::layers, "layers of switches of a fat tree",
              {.low = 2, .high = 3}),
          Row("rail_optimised", &FabricSpec::rail_optimised,
              "NIC i of each node goes to leaf i of its unit; otherwise a unit's NICs share a "
              "leaf"),
          Row("planes", &FabricSpec::planes,
              "networks of their own; NIC i goes to plane i modulo their number",
              {.low = 1, .high = 64}),
          Row("nodes_per_leaf", &FabricSpec::nodes_per_leaf,
              "nodes of a scalable unit, which have their leaves in common",
              {.low = 1, .high = 4096}),
          Row("units_per_pod", &FabricSpec::units_per_pod,
              "units that have their spines in common, with three layers",
              {.low = 1, .high = 4096}),
          Row("oversubscription", &FabricSpec::oversubscription,
              "rate downwards over rate upwards of a leaf", kRatio),
          Row("pod_oversubscription", &FabricSpec::pod_oversubscription,
              "rate downwards over rate upwards of a spine, with three layers", kRatio),
          Row("switch_ports", &FabricSpec::switch_ports, "ports of a switch",
              {.low = 2, .high = 4096}),
          Row("cable", &FabricSpec::cable,
              "cable between switches, each direction, datasheet; the NIC's rate where absent",
              {.low = 1e3, .high = 1e15}),
          Row("load_balancing", &FabricSpec::load_balancing,
              "adaptive: packets spread over all equal ways; ecmp: a flow stays on the one its "
              "hash picks"),
      });
  return fields;
}

std::optional<FabricFault> CheckFabric(const FabricSpec& spec, int nodes, int nics_per_node,
                                       BytesPerSecond nic) {
  FatTree tree;
  return Size(spec, nodes, nics_per_node, nic, tree);
}

FatTree TreeOf(const FabricSpec& spec, int nodes, int nics_per_node, BytesPerSecond nic) {
  FatTree tree;
  MOECAST_CHECK(!Size(spec, nodes, nics_per_node, nic, tree));
  return tree;
}

CableEnds EndsOf(const FatTree& t, int cable) {
  const int of_leaves = t.leaves() * t.leaf_cables;
  if (cable < of_leaves) {
    const int leaf = cable / t.leaf_cables;
    const int spine = cable % t.leaf_cables / (t.leaf_cables / t.spines);
    return {leaf,
            t.leaves() + (t.PodOfLeaf(leaf) * t.planes + t.PlaneOfLeaf(leaf)) * t.spines + spine};
  }
  const int spine = (cable - of_leaves) / t.spine_cables;
  const int core = (cable - of_leaves) % t.spine_cables / (t.spine_cables / t.cores);
  const int plane = spine / t.spines % t.planes;
  return {t.leaves() + spine, t.leaves() + t.spines_in_all() + plane * t.cores_in_plane() +
                                  spine % t.spines * t.cores + core};
}

int BundleOf(const FatTree& t, int directed) {
  const int of_leaves = t.leaves() * t.leaf_cables;
  const int cable = directed / 2;
  const int bundle = cable < of_leaves
                         ? cable / t.leaf_cables
                         : t.leaves() + (cable - of_leaves) / (t.spines * t.spine_cables);
  return 2 * bundle + directed % 2;
}

int BundlesIn(const FatTree& t) {
  return 2 * ((t.leaf_cables > 0 ? t.leaves() : 0) + (t.spine_cables > 0 ? t.pods * t.planes : 0));
}

std::string SwitchName(const FatTree& t, int number) {
  if (number < t.leaves())
    return "unit" + std::to_string(number / t.leaves_per_unit) + ".leaf" +
           std::to_string(number % t.leaves_per_unit);
  number -= t.leaves();
  if (number < t.spines_in_all()) {
    const int group = number / t.spines;
    return PlacePrefix(t, {group / t.planes, group % t.planes}) + "spine" +
           std::to_string(number % t.spines);
  }
  number -= t.spines_in_all();
  const int plane = number / t.cores_in_plane();
  return (t.planes > 1 ? "plane" + std::to_string(plane) + "." : "") + "core" +
         std::to_string(number % t.cores_in_plane());
}

std::string CableName(const FatTree& t, int directed) {
  const CableEnds ends = EndsOf(t, directed / 2);
  const bool of_leaf = ends.lower < t.leaves();
  const int upper = of_leaf ? (ends.upper - t.leaves()) % t.spines
                            : (ends.upper - t.leaves() - t.spines_in_all()) % t.cores_in_plane();
  const int parallel = of_leaf ? t.leaf_cables / t.spines : t.spine_cables / t.cores;
  const int first = of_leaf ? 0 : t.leaves() * t.leaf_cables;
  const int which = (directed / 2 - first) % (of_leaf ? t.leaf_cables : t.spine_cables) % parallel;
  return SwitchName(t, ends.lower) + "." + DirectionName(directed) +
         (of_leaf ? ".spine" : ".core") + std::to_string(upper) +
         (parallel > 1 ? ".cable" + std::to_string(which) : "");
}

std::string BundleName(const FatTree& t, int directed) {
  const int bundle = directed / 2;
  const int group = bundle - t.leaves();
  const std::string below = group < 0 ? SwitchName(t, bundle) + "."
                                      : PlacePrefix(t, {group / t.planes, group % t.planes});
  return below + DirectionName(directed);
}

Fabric::Fabric(const FatTree& tree, FabricFailures failures)
    : tree_(tree), failures_(std::move(failures)), leaves_(tree.leaves()) {
  const bool adaptive = tree.load_balancing == LoadBalancing::kAdaptive;
  vertices_ = VertexOf(tree.switches() - 1) + 1;
  links_.resize(static_cast<size_t>(adaptive ? BundlesIn(tree) : 2 * tree.cables()));
  const auto failed = [](const std::vector<int>& sorted, int x) {
    return std::binary_search(sorted.begin(), sorted.end(), x);
  };
  for (int directed = 0; directed < 2 * tree.cables(); ++directed) {
    const CableEnds ends = EndsOf(tree, directed / 2);
    const int lower = VertexOf(ends.lower), upper = VertexOf(ends.upper);
    Link& link = links_[static_cast<size_t>(adaptive ? BundleOf(tree, directed) : directed)];
    link.from = directed % 2 == 0 ? lower : upper;
    link.to = directed % 2 == 0 ? upper : lower;
    ++link.installed;
    link.cables += !failed(failures_.cables, directed) && !failed(failures_.switches, ends.lower) &&
                   !failed(failures_.switches, ends.upper);
  }
  FindNextHops();
}

int Fabric::VertexOf(int number) const {
  if (number < leaves_) return number;
  const bool adaptive = tree_.load_balancing == LoadBalancing::kAdaptive;
  const int per_spines = adaptive ? tree_.spines : 1,
            per_cores = adaptive ? tree_.cores_in_plane() : 1;
  number -= leaves_;
  if (number < tree_.spines_in_all()) return leaves_ + number / per_spines;
  return leaves_ + tree_.spines_in_all() / std::max(per_spines, 1) +
         (number - tree_.spines_in_all()) / per_cores;
}

std::string Fabric::NameOf(int link) const {
  return tree_.load_balancing == LoadBalancing::kAdaptive ? BundleName(tree_, link)
                                                          : CableName(tree_, link);
}

void Fabric::FindNextHops() {
  // Links by the vertex they leave, upwards first. `links_` alternates up and down.
  std::vector<int32_t> begin(static_cast<size_t>(vertices_) + 1),
      ups(static_cast<size_t>(vertices_));
  for (size_t l = 0; l < links_.size(); ++l) {
    ++begin[static_cast<size_t>(links_[l].from) + 1];
    if (l % 2 == 0) ++ups[links_[l].from];
  }
  for (size_t v = 0; v + 1 < begin.size(); ++v) begin[v + 1] += begin[v];
  std::vector<int32_t> up_at(begin.begin(), begin.end() - 1), down_at = up_at;
  for (size_t v = 0; v < ups.size(); ++v) down_at[v] += ups[v];
  out_.resize(links_.size());
  for (size_t l = 0; l < links_.size(); ++l)
    out_[(l % 2 == 0 ? up_at : down_at)[links_[l].from]++] = static_cast<int32_t>(l);

  next_.assign(static_cast<size_t>(vertices_) * leaves_, {});
  std::vector<int> hops(static_cast<size_t>(vertices_));
  std::vector<char> downwards(static_cast<size_t>(vertices_));
  std::vector<Range> last_list(static_cast<size_t>(vertices_));
  std::vector<int32_t> list;
  for (int leaf = 0; leaf < leaves_; ++leaf) {
    // Who gets to the leaf by going down only: its switches above, and theirs.
    std::fill(hops.begin(), hops.end(), kFar);
    std::fill(downwards.begin(), downwards.end(), 0);
    hops[leaf] = 0;
    downwards[leaf] = 1;
    std::vector<int> reached{leaf};
    for (size_t i = 0; i < reached.size(); ++i) {
      const int v = reached[i];
      for (int32_t k = begin[v]; k < begin[v] + ups[v]; ++k) {
        const Link& down = links_[out_[k] + 1];
        if (down.cables == 0 || downwards[down.from]) continue;
        downwards[down.from] = 1;
        hops[down.from] = hops[v] + 1;
        reached.push_back(down.from);
      }
    }
    // The others go up first; who is above comes later in number.
    for (int v = vertices_ - 1; v >= 0; --v) {
      if (v == leaf) continue;
      const int32_t first = downwards[v] ? begin[v] + ups[v] : begin[v];
      const int32_t last = downwards[v] ? begin[v + 1] : begin[v] + ups[v];
      int least = kFar;
      for (int32_t k = first; k < last; ++k) {
        const Link& link = links_[out_[k]];
        if (link.cables == 0 || (downwards[v] && !downwards[link.to])) continue;
        if (hops[link.to] < least) {
          least = hops[link.to];
          list.clear();
        }
        if (hops[link.to] == least && least < kFar) list.push_back(k);
      }
      if (least == kFar) continue;
      hops[v] = least + 1;
      Range& range = next_[static_cast<size_t>(v) * leaves_ + leaf];
      range.count = static_cast<int32_t>(list.size());
      if (list.back() - list.front() + 1 == range.count) {
        range.begin = list.front();
        continue;
      }
      for (int32_t& k : list) k = out_[k];
      Range& known = last_list[v];
      if (known.count != range.count ||
          !std::equal(list.begin(), list.end(), out_.begin() + known.begin)) {
        known = {static_cast<int32_t>(out_.size()), range.count};
        out_.insert(out_.end(), list.begin(), list.end());
      }
      range = known;
    }
  }
}

}  // namespace moecast
