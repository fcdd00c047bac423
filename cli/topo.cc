// moecast topo CLUSTER: links, bisection and routes of a cluster, and of what failures leave of it.
#include <memory>

#include "base/file.h"
#include "cli/command.h"
#include "scenarios/cluster_loader.h"
#include "viz/fields_view.h"
#include "viz/topo_view.h"

namespace moecast {
namespace {

constexpr char kFieldsText[] =
    "Made by `moecast topo --fields`. A cluster is a JSON object, built in "
    "(scenarios/data/clusters) or a file that a scenario or\n`moecast topo` names by its path; "
    "what the fabrics are is in [model-topology.md](model-topology.md). A field is named by "
    "its\nJSON pointer, `/0` is any element of a list. A field without a default is required.\n";

void PrintFields(const CommonOptions& common) {
  std::vector<FieldDoc> docs;
  FieldsOf(static_cast<const Cluster*>(nullptr)).Document("", docs);
  EmitDocument(common, FieldsJson(docs), FieldsMarkdown("Fields of a cluster", kFieldsText, docs));
}

}  // namespace

Action DefineTopo(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string cluster, dot;
    std::vector<std::string> failed;
    bool fields = false;
  };
  const auto options = std::make_shared<Options>();
  list.Add("cluster", options->cluster, "a built-in name or the path of a cluster file");
  list.Add("--dot", options->dot, "draw it for Graphviz into this file, - for standard output");
  list.Add("--fail", options->failed,
           "a link or switch that has failed: node0.gpu3.nic-out, unit0.leaf3.up, spine7; may be "
           "repeated",
           {.repeated = true, .delimiter = ','});
  list.AddFlag("--fields", options->fields,
               "every field of a cluster file with its meaning and default, as Markdown");
  return [options, &common] {
    if (options->fields + !options->cluster.empty() != 1)
      throw UserError({.file = "moecast topo", .expected = "one of: a cluster, --fields"});
    if (options->fields) return PrintFields(common);
    if (common.json == "-" && options->dot == "-")
      throw UserError({.file = "--dot",
                       .value = "-",
                       .expected = "a file where --json goes to standard output"});
    const Survey survey = SurveyOf(LoadCluster(options->cluster), options->failed);
    if (!options->dot.empty()) WriteFile(options->dot, TopoDot(survey));
    const Json json = common.json.empty() ? Json() : TopoJson(survey);
    Emit(common, json, options->dot == "-" ? "" : TopoText(survey));
  };
}

}  // namespace moecast
