#include "scenarios/calibrate/network_import.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/fields.h"
#include "base/quantity_text.h"
#include "costmodel/collectives/fit.h"
#include "traces/nccl_tests.h"

namespace moecast {
namespace {

// nccl-tests' sizes are the buffer of kind.h; of sendrecv, where every rank sends to the next, the
// busiest link carries what it does in a send.
constexpr std::pair<std::string_view, CollectiveKind> kKinds[] = {
    {"all_reduce", CollectiveKind::kAllReduce},         {"all_gather", CollectiveKind::kAllGather},
    {"reduce_scatter", CollectiveKind::kReduceScatter}, {"alltoall", CollectiveKind::kAllToAll},
    {"broadcast", CollectiveKind::kBroadcast},          {"sendrecv", CollectiveKind::kSend}};

const CollectiveKind* KindOf(std::string_view collective) {
  for (const auto& [name, kind] : kKinds)
    if (name == collective) return &kind;
  return nullptr;
}

struct Test {
  NcclTest read;
  CollectiveKind kind;
  int nodes = 1, per_node = 1;
};

Test Placed(NcclTest read, CollectiveKind kind) {
  std::map<std::string, int> ranks_on;
  for (const std::string& host : read.rank_hosts) ++ranks_on[host];
  Test test{std::move(read), kind, static_cast<int>(ranks_on.size()), ranks_on.begin()->second};
  for (const auto& [host, ranks] : ranks_on)
    if (ranks != test.per_node)
      throw UserError({.file = test.read.file,
                       .value = std::to_string(ranks) + " ranks on host " + Shortened(host),
                       .expected = std::to_string(test.per_node) + " as on the others"});
  return test;
}

std::string Percent(double x) {
  return ShowNumber(x, 3) + "%";
}

}  // namespace

ImportedNetwork ImportNetwork(std::span<const TextFile> sources, const Device& measured_on) {
  ImportedNetwork out;
  std::vector<Test> tests;
  Cluster spec{.name = "measured", .device_name = measured_on.name, .gpus = 1, .gpus_per_node = 1};
  int nodes = 1;
  for (const TextFile& file : sources) {
    NcclTest read = ParseNcclTest(file.text, file.path);
    const CollectiveKind* kind = KindOf(read.collective);
    if (!kind || (*kind == CollectiveKind::kSend && read.rank_hosts.size() % 2 != 0)) {
      out.ignored.push_back(file.path);
      continue;
    }
    tests.push_back(Placed(std::move(read), *kind));
    spec.gpus_per_node = std::max(spec.gpus_per_node, tests.back().per_node);
    nodes = std::max(nodes, tests.back().nodes);
  }
  if (tests.empty())
    throw UserError(
        {.file = "calibrate import",
         .value = "no modelled collective among " + std::to_string(sources.size()) + " files",
         .expected = "output of all_reduce_perf, all_gather_perf, reduce_scatter_perf, "
                     "alltoall_perf, broadcast_perf or sendrecv_perf"});
  spec.gpus = nodes * spec.gpus_per_node;

  std::vector<MeasuredCollective> measured;
  for (const Test& t : tests)
    for (const NcclTestRow& row : t.read.rows) {
      MeasuredCollective m{.call = {.kind = t.kind, .bytes = Bytes(static_cast<double>(row.bytes))},
                           .time = row.out_of_place};
      for (int i = 0; i < t.nodes * t.per_node; ++i)
        m.call.group.push_back(i / t.per_node * spec.gpus_per_node + i % t.per_node);
      measured.push_back(std::move(m));
    }
  const ClusterFit fit = FitCluster(BuildCluster(spec, measured_on), measured);
  out.cluster = fit.cluster;
  out.fitted.assign(fit.fitted.begin(), fit.fitted.end());

  std::string csv =
      "# nccl-tests, out of place: measured times and those of the fitted cluster.json\n"
      "collective,type,ranks,nodes,bytes,measured_us,model_us\n";
  double sum = 0;
  size_t at = 0;
  for (const Test& t : tests) {
    ImportedTest report{.collective = std::string(NameOf(t.kind)),
                        .file = t.read.file,
                        .ranks = t.nodes * t.per_node,
                        .nodes = t.nodes,
                        .points = t.read.rows.size()};
    for (const NcclTestRow& row : t.read.rows) {
      const double us = row.out_of_place / Microseconds(1);
      const double model = fit.predicted[at++] / Microseconds(1);
      const double error = 100 * std::fabs(model / us - 1);
      report.mean_error_percent += error / static_cast<double>(report.points);
      report.worst_error_percent = std::max(report.worst_error_percent, error);
      sum += error;
      csv += report.collective + "," + row.type + "," + std::to_string(report.ranks) + "," +
             std::to_string(report.nodes) + "," + std::to_string(row.bytes) + "," +
             ShowNumber(us, 6) + "," + ShowNumber(model, 6) + "\n";
    }
    out.tests.push_back(std::move(report));
  }

  const auto rounded = [](double x) { return *ParseNumber(ShowNumber(x, 4)); };
  const Cluster& c = fit.cluster;
  spec.nvlink_usable = GBps(rounded(c.device.nvlink_usable.value / 1e9));
  spec.nic_usable = GBps(rounded(c.nic_usable.value / 1e9));
  spec.collective_launch = Microseconds(rounded(c.collective_launch / Microseconds(1)));
  spec.bulk_launch = Microseconds(rounded(c.bulk_launch / Microseconds(1)));
  spec.nvlink_step = Microseconds(rounded(c.nvlink_step / Microseconds(1)));
  spec.network_step = Microseconds(rounded(c.network_step / Microseconds(1)));
  std::vector<std::string_view> files;
  for (const Test& t : tests) files.push_back(t.read.file);
  spec.source = "moecast calibrate import of nccl-tests' output (" + Join(files) +
                "), mean error " + Percent(sum / static_cast<double>(measured.size())) +
                "; fitted: " + Join(fit.fitted) + "; the rest are defaults";
  out.files = {{"network/cluster.json", DumpJson(Codec<Cluster>::Print(spec)) + "\n"},
               {"network/collectives.csv", csv}};
  return out;
}

}  // namespace moecast
