// The switches between the nodes: a fat tree of two or three layers (Leiserson, IEEE Trans. Comp.
// 1985; as Clos networks of equal switches, Al-Fares et al., SIGCOMM 2008), or one switch that does
// not block.
//
// `nodes_per_leaf` nodes are a scalable unit. Rail-optimised, NIC i of each node of a unit goes to
// the unit's leaf i, so that GPUs of one index are one switch apart (NVIDIA DGX SuperPOD H100
// reference architecture, RA-11333); otherwise the unit's NICs share one leaf. With planes, NIC i
// goes to plane i modulo their number, and planes are networks of their own (multi-plane fat tree:
// "Insights into DeepSeek-V3", arXiv 2505.09343, section 5.1). Above the leaves each plane has
// spines; with three layers `units_per_pod` units share their spines, and spine j of every pod is
// connected to the j-th group of cores.
//
// What the switches do with several ways of equal length: `ecmp` keeps a flow on the one that a
// hash of it picks, as Ethernet does; flows may collide. `adaptive` spreads packets over all of
// them by load, which NVIDIA's subnet manager does unless told otherwise (InfiniBand Cluster
// Bring-up Procedure, "Adaptive Routing": enabled by default, engine ar_updn, all ports of least
// hops in one group) and is therefore the default here. It is modelled as perfect: all cables from
// a switch to the layer above are one link with their sum. Left out: buffers, credits, congestion
// control, and the time until the switches have learnt of a failure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"

namespace moecast {

enum class FabricKind : uint8_t { kNonBlocking, kFatTree };
template <>
struct EnumNames<FabricKind> {
  static constexpr EnumName<FabricKind> kNames[] = {{FabricKind::kNonBlocking, "non-blocking"},
                                                    {FabricKind::kFatTree, "fat-tree"}};
};

enum class LoadBalancing : uint8_t { kAdaptive, kEcmp };
template <>
struct EnumNames<LoadBalancing> {
  static constexpr EnumName<LoadBalancing> kNames[] = {{LoadBalancing::kAdaptive, "adaptive"},
                                                       {LoadBalancing::kEcmp, "ecmp"}};
};

struct FabricSpec {
  FabricKind kind = FabricKind::kNonBlocking;
  int layers = 2;
  bool rail_optimised = true;
  int planes = 1;
  int nodes_per_leaf = 32;
  int units_per_pod = 4;            // with three layers
  double oversubscription = 1;      // rate towards the nodes over rate upwards, of a leaf
  double pod_oversubscription = 1;  // the same of a pod's spines
  int switch_ports = 64;            // NVIDIA QM9700: 64 ports of 400 Gb/s
  std::optional<BytesPerSecond>
      cable;  // between switches, each direction; the NIC's rate where absent
  LoadBalancing load_balancing = LoadBalancing::kAdaptive;

  bool operator==(const FabricSpec&) const = default;
};
const Fields<FabricSpec>& FieldsOf(const FabricSpec*);

// The sizes that follow. One switch that does not block is one leaf without cables upwards.
struct FatTree {
  int nodes_per_leaf = 1 << 30;
  int leaves_per_unit = 1;
  int planes = 1;
  int units = 1;
  int units_per_pod = 1;
  int pods = 1;
  int leaf_cables = 0;   // of a leaf, to the spines
  int spines = 0;        // of a pod and plane
  int spine_cables = 0;  // of a spine, to the cores; none with two layers
  int cores = 0;         // that a spine is connected to
  LoadBalancing load_balancing = LoadBalancing::kAdaptive;

  bool operator==(const FatTree&) const = default;
  int leaves() const { return units * leaves_per_unit; }
  int spines_in_all() const { return pods * planes * spines; }
  int cores_in_plane() const { return spines * cores; }
  int switches() const { return leaves() + spines_in_all() + planes * cores_in_plane(); }
  int cables() const { return leaves() * leaf_cables + spines_in_all() * spine_cables; }
  int LeafOf(int node, int nic) const {
    return node / nodes_per_leaf * leaves_per_unit + nic % leaves_per_unit;
  }
  int PlaneOfLeaf(int leaf) const { return leaf % leaves_per_unit % planes; }
  int PodOfLeaf(int leaf) const { return leaf / leaves_per_unit / units_per_pod; }
};

// What in a spec cannot be built: the field below /fabric and what it should have been.
struct FabricFault {
  std::string pointer;
  std::string expected;
};
// Nothing where it can be built for so many nodes. `nic` is the rate that a leaf's ports run at.
std::optional<FabricFault> CheckFabric(const FabricSpec& spec, int nodes, int nics_per_node,
                                       BytesPerSecond nic);

// The sizes of the smallest such tree that takes the nodes. REQUIRES: !CheckFabric(...).
FatTree TreeOf(const FabricSpec& spec, int nodes, int nics_per_node, BytesPerSecond nic);

// Switches by number: leaves, spines by pod and plane, cores by plane. A cable has two directions,
// 2 * cable upwards and 2 * cable + 1 downwards; cables of leaves come first, by leaf, then those
// of spines.
struct CableEnds {
  int lower, upper;  // switches
};
CableEnds EndsOf(const FatTree& tree, int cable);

std::string SwitchName(const FatTree& tree,
                       int number);  // "unit0.leaf3", "pod1.spine7", "plane2.core0"
std::string CableName(const FatTree& tree, int directed);  // "unit0.leaf3.up.spine7"
std::string BundleName(const FatTree& tree,
                       int directed);                   // "unit0.leaf3.up", of an adaptive bundle
int BundleOf(const FatTree& tree, int directed_cable);  // directed too
int BundlesIn(const FatTree& tree);                     // directed

// What has failed: directed cables and switches, each ascending.
struct FabricFailures {
  std::vector<int> cables, switches;
  bool operator==(const FabricFailures&) const = default;
};

// Switches and links as routing sees them, and the next hops to every leaf. Vertices are leaves,
// then spines, then cores; with adaptive load balancing the spines of a pod and plane are one
// vertex, and so are the cores of a plane.
class Fabric {
 public:
  struct Link {
    int32_t from = 0, to = 0;  // vertices
    int32_t cables = 0;        // that work
    int32_t installed = 0;
  };

  // REQUIRES: the failures are of cables and switches of the tree.
  explicit Fabric(const FatTree& tree, FabricFailures failures = {});

  const FatTree& tree() const { return tree_; }
  const FabricFailures& failures() const { return failures_; }
  // Directed cables with ecmp, directed bundles with adaptive.
  std::span<const Link> links() const { return links_; }
  int vertices() const { return vertices_; }
  std::string NameOf(int link) const;  // as CableName or BundleName; `link` among links()

  // Links of least hops from a vertex towards a leaf, never up again after down, so that the
  // network cannot deadlock (as OpenSM's up/down and fat-tree engines route). Empty where there is
  // no way, and at the leaf itself.
  std::span<const int32_t> NextHops(int vertex, int leaf) const {
    const Range r = next_[static_cast<size_t>(vertex) * leaves_ + leaf];
    return {out_.data() + r.begin, static_cast<size_t>(r.count)};
  }

  bool operator==(const Fabric& o) const { return tree_ == o.tree_ && failures_ == o.failures_; }

 private:
  struct Range {
    int32_t begin = 0, count = 0;
  };
  int VertexOf(int switch_number) const;
  void FindNextHops();

  FatTree tree_;
  FabricFailures failures_;
  int leaves_;
  int vertices_;
  std::vector<Link> links_;
  // By vertex its links upwards and then downwards; behind them the sets of next hops that are not
  // in one piece.
  std::vector<int32_t> out_;
  std::vector<Range> next_;  // by vertex and leaf, into out_
};

}  // namespace moecast
