#include <algorithm>
#include <map>
#include <vector>

#include "topology/graph.h"
#include "viz/table.h"
#include "viz/topo_view.h"

namespace moecast {
namespace {

std::string Number(int n) {
  return std::to_string(n);
}

// A box of the drawing, and how many vertices of the graph it stands for.
struct Box {
  std::string name, label;
};

class Drawing {
 public:
  explicit Drawing(const Cluster& c) : c_(c), in_full_(c.nodes() <= kDrawnNodes) {}

  int drawn_nodes() const { return in_full_ ? c_.nodes() : 1; }

  Box BoxOf(int vertex) const {
    if (vertex < FabricVertex(c_, 0)) {
      const bool gpu = vertex < c_.gpus;
      const int node = gpu ? c_.NodeOf(vertex) : vertex - c_.gpus;
      if (node >= drawn_nodes()) return OtherNodes(node);
      return gpu ? Box{"gpu" + Number(vertex), "GPU " + Number(vertex)}
                 : Box{"switch" + Number(node), "NVSwitch"};
    }
    if (!c_.switches.value) return {"network", "network"};
    return SwitchBox(vertex - FabricVertex(c_, 0));
  }

 private:
  // Of a large cluster: those that share the first node's leaves, those of its pod, those of other
  // pods.
  Box OtherNodes(int node) const {
    if (!c_.switches.value) {
      const int first = c_.gpus_per_node * drawn_nodes();
      return {"others", Counted(c_.nodes() - drawn_nodes(), "more node") + "\\nGPUs " +
                            Number(first) + "-" + Number(c_.gpus - 1)};
    }
    const FatTree& t = Tree();
    const int of_unit = std::min(t.nodes_per_leaf, c_.nodes());
    if (node < of_unit)
      return {"unit", Counted(of_unit - drawn_nodes(), "more node") + "\\nof unit 0"};
    const int of_pod = std::min(t.nodes_per_leaf * t.units_per_pod, c_.nodes());
    if (node < of_pod) return {"pod", Counted(of_pod - of_unit, "node") + "\\nof other units"};
    return {"others", Counted(c_.nodes() - of_pod, "node") + "\\nof other pods"};
  }

  Box SwitchBox(int vertex) const {
    const FatTree& t = Tree();
    const bool adaptive = t.load_balancing == LoadBalancing::kAdaptive;
    if (vertex < t.leaves()) {
      if (in_full_ || vertex < t.leaves_per_unit)
        return {"leaf" + Number(vertex), SwitchName(t, vertex)};
      const int of_pod = std::min(t.units_per_pod * t.leaves_per_unit, t.leaves());
      if (vertex < of_pod)
        return {"leaves", Counted(of_pod - t.leaves_per_unit, "more leaf switch", "es")};
      return {"far_leaves", Counted(t.leaves() - of_pod, "leaf switch", "es") + "\\nof other pods"};
    }
    const int spine = (vertex - t.leaves()) * (adaptive ? t.spines : 1);
    if (spine < t.spines_in_all()) {
      if (in_full_ && !adaptive)
        return {"spine" + Number(spine), SwitchName(t, t.leaves() + spine)};
      const int group = spine / t.spines;
      const int pod = group / t.planes;
      const int plane = group % t.planes;
      if (pod > 0 && !in_full_)
        return {"far_spines",
                Counted((t.pods - 1) * t.planes * t.spines, "spine") + "\\nof other pods"};
      return {"spines" + Number(group), Counted(t.spines, "spine") + Place(pod, plane)};
    }
    const int core = (vertex - t.leaves() - t.spines_in_all() / (adaptive ? t.spines : 1)) *
                     (adaptive ? t.cores_in_plane() : 1);
    if (in_full_ && !adaptive)
      return {"core" + Number(core), SwitchName(t, t.leaves() + t.spines_in_all() + core)};
    const int plane = core / t.cores_in_plane();
    return {"cores" + Number(plane), Counted(t.cores_in_plane(), "core") + Place(-1, plane)};
  }

  const FatTree& Tree() const { return c_.switches.value->tree(); }
  std::string Place(int pod, int plane) const {
    const FatTree& t = Tree();
    std::string text;
    if (pod >= 0 && t.spine_cables > 0) text += "\\nof pod " + Number(pod);
    if (t.planes > 1) text += "\\nof plane " + Number(plane);
    return text;
  }
  static std::string Counted(int n, const char* noun, const char* plural = "s") {
    return Number(n) + " " + noun + (n == 1 ? "" : plural);
  }

  const Cluster& c_;
  bool in_full_;
};

}  // namespace

std::string TopoDot(const Survey& survey) {
  const Cluster& c = survey.cluster;
  const Drawing drawing(c);
  std::string dot = "graph \"" + c.name +
                    "\" {\n  rankdir=BT;\n  ranksep=1;\n  nodesep=0.1;\n  node [shape=box];\n  "
                    "edge [fontsize=10];\n";
  std::map<std::string, std::string> declared;
  const auto declare = [&](const Box& box, const char* indent) {
    if (declared.emplace(box.name, box.label).second)
      dot += indent + box.name + " [label=\"" + box.label + "\"];\n";
  };
  for (int node = 0; node < drawing.drawn_nodes(); ++node) {
    dot +=
        "  subgraph cluster_node" + Number(node) + " {\n    label=\"node" + Number(node) + "\";\n";
    declare(drawing.BoxOf(SwitchVertex(c, node)), "    ");
    for (int g = node * c.gpus_per_node; g < c.gpus && c.NodeOf(g) == node; ++g)
      declare(drawing.BoxOf(g), "    ");
    dot += "  }\n";
  }
  // By the direction away from the GPU or upwards, which ends on even numbers.
  struct Line {
    std::string a, b;
    BytesPerSecond rate;
    int links = 0;
    bool degraded = false;
  };
  std::vector<Line> lines;
  std::map<std::pair<std::string, std::string>, size_t> known;
  for (const GraphEdge& e : EdgesOf(c)) {
    if (e.link % 2 != 0) continue;
    Box a = drawing.BoxOf(e.from), b = drawing.BoxOf(e.to);
    if (!IsNetwork(c, e.link)) std::swap(a, b);  // NVSwitches below their GPUs
    if (a.name == b.name) continue;
    declare(a, "  ");
    declare(b, "  ");
    const auto [at, is_new] = known.try_emplace({a.name, b.name}, lines.size());
    if (is_new) lines.push_back({a.name, b.name});
    Line& line = lines[at->second];
    line.rate += DatasheetRate(c, e.link);
    for (const LinkId direction : {e.link, e.link + 1})
      line.degraded |=
          std::binary_search(survey.degraded.begin(), survey.degraded.end(), direction);
  }
  for (const Line& line : lines)
    dot += "  " + line.a + " -- " + line.b + " [label=\"" +
           Printf("%.6g GB/s", line.rate.value / 1e9) + "\"" +
           (line.degraded ? ", color=red, fontcolor=red" : "") + "];\n";
  return dot + "}\n";
}

}  // namespace moecast
