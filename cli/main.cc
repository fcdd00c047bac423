// moecast COMMAND ...: declare the options of every command, parse, run one. Exit 0 done, 2 the
// user's fault, 1 ours.
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"

namespace moecast {
namespace {

constexpr char kVersion[] = "0.1.0";

constexpr Command kCommands[] = {
    {"model", "size and cost of a model", "moecast model deepseek-v2", DefineModel},
    {"op", "time of one operator on a device",
     "moecast op gemm --device h800 --m 4096 --n 24576 --k 1536 --dtype bf16", DefineOp},
    {"pipeline", "a pipeline schedule alone: bubble and memory",
     "moecast pipeline --schedule zb-h1 --stages 8 --micro-batches 24 --forward 30ms --backward "
     "30ms "
     "--weight 20ms",
     DefinePipeline},
    {"train", "a training run: step time, GPU-hours, memory, where the time goes",
     "moecast train deepseek-v2-pretrain", DefineTrain},
    {"serve", "a serving deployment under a load: throughput, latency, KV memory, price",
     "moecast serve deepseek-v2-azure-conv-like", DefineServe},
    {"diff", "why one plan is faster than another",
     "moecast diff deepseek-v2-pretrain deepseek-v2-pretrain --set-b training/schedule=1f1b",
     DefineDiff},
    {"scenario",
     "a scenario as it is read: every field with its value; or the schema of scenario files",
     "moecast scenario deepseek-v2-pretrain", DefineScenario},
    {"topo", "a cluster: links and bisection", "moecast topo h800-64", DefineTopo},
    {"collective", "one collective over a cluster, or several at once",
     "moecast collective all-reduce --cluster h800-64 --ranks 0-63 --bytes 1GiB", DefineCollective},
    {"routing",
     "gating of a model over tokens: loads, devices and nodes of a token, bytes between ranks",
     "moecast routing deepseek-v2-pretrain --steps 200", DefineRouting},
    {"traffic", "traces of requests: what they are like, drawn, converted",
     "moecast traffic stats azure-conv-like", DefineTraffic},
    {"calibrate", "bring measured tables into calibrations",
     "moecast calibrate import MEASUREMENTS --out DIR", DefineCalibrate},
    {"validate", "published and measured figures against predictions", "moecast validate training",
     DefineValidate},
};

std::string UnknownWord(const std::string& word) {
  std::vector<std::string_view> names;
  for (const Command& c : kCommands) names.push_back(c.name);
  return UserError({.file = "moecast",
                    .value = "\"" + Shortened(word) + "\"",
                    .expected = "one of " + Join(names),
                    .hint = Nearest(word, names)})
      .what();
}

int Main(int argc, char** argv) {
  CommandLine program(
      "moecast",
      "Predicts what it takes to train and serve MLA + MoE language models on GPU clusters.",
      std::string("moecast ") + kVersion);
  CommonOptions common;
  std::vector<std::pair<OptionList, Action>> commands;
  for (const Command& command : kCommands) {
    OptionList list = program.AddCommand(command.name, command.help, command.example);
    list.Add("--json", common.json, "write the result as JSON to this file, - for standard output");
    list.Add("--seed", common.seed, "seed of everything random", {.show_default = true});
    commands.emplace_back(list, command.define(list, common));
  }
  if (argc > 1 && argv[1][0] != '-') {
    bool known = false;
    for (const Command& c : kCommands) known = known || std::string_view(c.name) == argv[1];
    if (!known) {
      std::fprintf(stderr, "error: %s\n", UnknownWord(argv[1]).c_str());
      return 2;
    }
  }
  if (const std::optional<int> exit_code = program.Parse(argc, argv)) return *exit_code;
  for (const auto& [list, action] : commands) {
    if (!list.named()) continue;
    common.overrides = list.GivenTo("--set");
    action();
  }
  return 0;
}

}  // namespace

void Emit(const CommonOptions& common, Json json, const std::string& text) {
  json["overrides"] = common.overrides;
  json["seed"] = common.seed;
  json["version"] = kVersion;
  EmitDocument(common, json, text);
}

void EmitDocument(const CommonOptions& common, const Json& json, const std::string& text) {
  if (!common.json.empty()) WriteFile(common.json, DumpJson(json) + "\n");
  if (common.json != "-") std::fputs(text.c_str(), stdout);
}

}  // namespace moecast

int main(int argc, char** argv) {
  try {
    return moecast::Main(argc, argv);
  } catch (const moecast::UserError& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "moecast: internal error: %s\nPlease report it.\n", e.what());
    return 1;
  }
}
