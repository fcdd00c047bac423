// moecast topo CLUSTER: links and bisection of a cluster.
#include <memory>

#include "base/file.h"
#include "cli/command.h"
#include "scenarios/cluster_loader.h"
#include "viz/topo_view.h"

namespace moecast {

Action DefineTopo(CLI::App& app, const CommonOptions& common) {
  struct Options {
    std::string cluster, dot;
  };
  const auto options = std::make_shared<Options>();
  app.add_option("cluster", options->cluster, "a built-in name or the path of a cluster file")->required();
  app.add_option("--dot", options->dot, "draw it for Graphviz into this file, - for standard output");
  return [options, &common] {
    if (common.json == "-" && options->dot == "-")
      throw UserError(
          {.file = "--dot", .value = "-", .expected = "a file where --json goes to standard output"});
    const Cluster cluster = LoadCluster(options->cluster);
    const Json json = TopoJson(cluster);
    if (!options->dot.empty()) WriteFile(options->dot, TopoDot(cluster));
    Emit(common, json, options->dot == "-" ? "" : TopoText(cluster));
  };
}

}  // namespace moecast
