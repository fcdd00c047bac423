#include "viz/topo_view.h"

#include <vector>

#include "topology/graph.h"
#include "topology/link_names.h"
#include "viz/table.h"

namespace moecast {
namespace {

std::string Rate(BytesPerSecond rate) {
  return Printf("%.6g GB/s", rate.value / 1e9);
}

struct LinkKind {
  Port port;
  int count = 0;
  BytesPerSecond datasheet, usable;
};
std::vector<LinkKind> KindsOf(const Cluster& cluster) {
  std::vector<LinkKind> kinds;
  for (const auto& row : EnumNames<Port>::kNames) kinds.push_back({.port = row.value});
  for (const GraphEdge& e : EdgesOf(cluster)) {
    LinkKind& kind = kinds[static_cast<size_t>(PortOf(e.link))];
    ++kind.count;
    kind.datasheet = DatasheetRate(cluster, e.link);
    kind.usable = CapacityOf(cluster, e.link);
  }
  std::erase_if(kinds, [](const LinkKind& kind) { return kind.count == 0; });
  return kinds;
}

std::string Counted(int n, const char* noun) {
  return std::to_string(n) + " " + noun + (n == 1 ? "" : "s");
}

// A link of the drawing: both directions between two vertices.
std::string DotEdge(const std::string& a, const std::string& b, BytesPerSecond rate) {
  return "  " + a + " -- " + b + " [label=\"" + Rate(rate) + "\"];\n";
}

}  // namespace

Json TopoJson(const Cluster& cluster) {
  Json kinds = Json::array(), links = Json::array();
  for (const LinkKind& kind : KindsOf(cluster))
    kinds.push_back({{"kind", NameOf(kind.port)},
                     {"count", kind.count},
                     {"capacity_bytes_per_s", kind.datasheet.value},
                     {"usable_bytes_per_s", kind.usable.value}});
  for (const GraphEdge& e : EdgesOf(cluster))
    links.push_back({{"name", LinkName(cluster, e.link)},
                     {"capacity_bytes_per_s", DatasheetRate(cluster, e.link).value},
                     {"usable_bytes_per_s", CapacityOf(cluster, e.link).value}});
  return {{"name", cluster.name},
          {"device", cluster.device.name},
          {"gpus", cluster.gpus},
          {"nodes", cluster.nodes()},
          {"gpus_per_node", cluster.gpus_per_node},
          {"bisection_bytes_per_s", Bisection(cluster).value},
          {"link_kinds", std::move(kinds)},
          {"links", std::move(links)}};
}

std::string TopoText(const Cluster& cluster) {
  std::string text = cluster.name + ": " + Counted(cluster.gpus, "GPU") + " (" + cluster.device.name +
                     ") in " + Counted(cluster.nodes(), "node") + "\n";
  text += "  bisection  " + Rate(Bisection(cluster)) + "  from the first half of the GPUs to the second\n\n";
  Rows rows = {{"links", "count", "datasheet", "usable"}};
  for (const LinkKind& kind : KindsOf(cluster))
    rows.push_back(
        {std::string(NameOf(kind.port)), Thousands(kind.count), Rate(kind.datasheet), Rate(kind.usable)});
  return text + Aligned(rows, "lrrr");
}

std::string TopoDot(const Cluster& cluster) {
  const int drawn = cluster.nodes() <= kDrawnNodes ? cluster.nodes() : 1, others = cluster.nodes() - drawn;
  std::string dot = "graph \"" + cluster.name + "\" {\n  node [shape=box];\n";
  for (int node = 0; node < drawn; ++node) {
    const std::string n = std::to_string(node);
    dot += "  subgraph cluster_node" + n + " {\n    label=\"node" + n + "\";\n    switch" + n +
           " [label=\"NVSwitch\"];\n";
    for (int g = 0; g < cluster.gpus; ++g)
      if (cluster.NodeOf(g) == node)
        dot += "    gpu" + std::to_string(g) + " [label=\"GPU " + std::to_string(g) + "\"];\n";
    dot += "  }\n";
  }
  if (cluster.nodes() > 1) dot += "  network [label=\"network\"];\n";
  const BytesPerSecond nic = cluster.nic;
  if (others > 0) {
    const int first = cluster.gpus_per_node * drawn;
    dot += "  others [label=\"" + Counted(others, "more node") + "\\nGPUs " + std::to_string(first) + "-" +
           std::to_string(cluster.gpus - 1) + "\"];\n" +
           DotEdge("others", "network", nic * (cluster.gpus - first));
  }
  // Each pair of directed links once, by the one that leaves the GPU.
  for (const GraphEdge& e : EdgesOf(cluster)) {
    if (e.from >= cluster.gpus || cluster.NodeOf(e.from) >= drawn) continue;
    const std::string to =
        IsNetwork(cluster, e.link) ? "network" : "switch" + std::to_string(cluster.NodeOf(e.from));
    dot += DotEdge("gpu" + std::to_string(e.from), to, DatasheetRate(cluster, e.link));
  }
  return dot + "}\n";
}

}  // namespace moecast
