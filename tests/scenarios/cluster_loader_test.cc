// Cluster files: every field does something, and what cannot be is refused where it stands.
#include "scenarios/cluster_loader.h"

#include <gtest/gtest.h>

#include <set>

#include "base/fields.h"
#include "scenarios/builtin.h"
#include "tests/message_of.h"
#include "topology/graph.h"
#include "viz/topo_view.h"

namespace moecast {
namespace {

constexpr char kSmall[] = R"({"name": "small", "device": "h800", "gpus": 64, "source": "made up"})";

std::string WithFields(const std::vector<std::string>& sets) {
  const auto document = ParseJson(kSmall, "small");
  for (const std::string& set : sets) {
    const size_t equals = set.find('=');
    const Json value = ParseJson(set.substr(equals + 1), "set")->root;
    PatchJson(*document, set.substr(0, equals), value, {set, set});
  }
  return DumpJson(document->root);
}

Cluster Load(const std::vector<std::string>& sets) {
  return ClusterFromText(WithFields(sets), "small.json");
}

// What topo prints of the cluster; each field's last line must change it.
struct FieldCase {
  const char* pointer;
  std::vector<std::string> sets;
};

const std::vector<FieldCase>& FieldCases() {
  static const std::string tree = R"(fabric={"kind": "fat-tree", "nodes_per_leaf": 2})";
  static const std::string deep =
      R"(fabric={"kind": "fat-tree", "layers": 3, "nodes_per_leaf": 1, "units_per_pod": 4})";
  static const std::string pools = R"(pools=[{"device": "h800", "nodes": 8}])";
  static const std::vector<FieldCase> cases = {
      {"/name", {R"(name="other")"}},
      {"/device", {R"(device="h100")"}},
      {"/gpus", {"gpus=32"}},
      {"/gpus_per_node", {"gpus_per_node=4"}},
      {"/nics_per_node", {"nics_per_node=4"}},
      {"/nic", {R"(nic="800Gb/s")"}},
      {"/nic_usable", {R"(nic_usable="45GB/s")"}},
      {"/host_memory", {R"(host_memory="1TB")"}},
      {"/host_bandwidth", {R"(host_bandwidth="400GB/s")"}},
      {"/nvlink_usable", {R"(nvlink_usable="150GB/s")"}},
      {"/collective_launch", {R"(collective_launch="9us")"}},
      {"/bulk_launch", {R"(bulk_launch="9us")"}},
      {"/token_launch", {R"(token_launch="9us")"}},
      {"/low_latency_launch", {R"(low_latency_launch="9us")"}},
      {"/send_piece", {R"(send_piece="9us")"}},
      {"/token_nvlink_share", {"token_nvlink_share=0.5"}},
      {"/token_nic_share", {"token_nic_share=0.5"}},
      {"/nvlink_step", {R"(nvlink_step="9us")"}},
      {"/network_step", {R"(network_step="9us")"}},
      {"/pools/0/device", {pools, R"(pools/0/device="h100")"}},
      {"/pools/0/nodes",
       {"gpus=72", R"(pools=[{"device": "h800", "nodes": 8}, {"device": "h100", "nodes": 1}])"}},
      {"/pools/0/nic", {pools, R"(pools/0/nic="800Gb/s")"}},
      {"/pools/0/nic_usable", {pools, R"(pools/0/nic_usable="45GB/s")"}},
      {"/pools/0/nvlink_usable", {pools, R"(pools/0/nvlink_usable="150GB/s")"}},
      {"/fabric/kind", {tree, R"(fabric/kind="non-blocking")"}},
      {"/fabric/layers", {tree, "fabric/layers=3"}},
      {"/fabric/rail_optimised", {tree, "fabric/rail_optimised=false"}},
      {"/fabric/planes", {tree, "fabric/planes=8"}},
      {"/fabric/nodes_per_leaf", {tree, "fabric/nodes_per_leaf=4"}},
      {"/fabric/units_per_pod", {deep, "fabric/units_per_pod=2"}},
      {"/fabric/oversubscription", {tree, "fabric/oversubscription=2"}},
      {"/fabric/pod_oversubscription", {deep, "fabric/pod_oversubscription=2"}},
      {"/fabric/switch_ports", {tree, "fabric/switch_ports=32"}},
      {"/fabric/cable", {tree, R"(fabric/cable="800Gb/s")"}},
      {"/fabric/load_balancing", {tree, R"(fabric/load_balancing="ecmp")"}},
  };
  return cases;
}

TEST(ClusterFieldsTest, EveryFieldHasACase) {
  std::vector<FieldDoc> docs;
  FieldsOf(static_cast<const Cluster*>(nullptr)).Document("", docs);
  std::set<std::string> documented, covered{"/source"};  // for people
  for (const FieldDoc& d : docs) documented.insert(d.pointer);
  for (const FieldCase& c : FieldCases()) covered.insert(c.pointer);
  EXPECT_EQ(documented, covered);
}

TEST(ClusterFieldsTest, ChangingAFieldChangesWhatTopoPrints) {
  const auto printed = [](const std::vector<std::string>& sets) {
    return DumpJson(TopoJson(SurveyOf(Load(sets), {})));
  };
  for (const FieldCase& c : FieldCases()) {
    std::vector<std::string> without = c.sets;
    without.pop_back();
    EXPECT_NE(printed(without), printed(c.sets)) << c.pointer;
  }
}

TEST(ClusterFieldsTest, PrintedAndParsedItIsTheSame) {
  const auto& table = Codec<Cluster>::Table();
  for (const FieldCase& c : FieldCases()) {
    const Json printed =
        table.Print(table.Parse(JsonCursor(ParseJson(WithFields(c.sets), "small"))));
    EXPECT_EQ(table.Print(table.Parse(JsonCursor(ParseJson(DumpJson(printed), "small")))), printed)
        << c.pointer;
  }
}

TEST(ClusterLoaderTest, FaultsNameFilePlaceAndWhatWasExpected) {
  struct Case {
    std::vector<std::string> sets;
    const char* says;
  };
  const Case cases[] = {
      {{R"(nic="0GB/s")"}, "small.json: /nic: found \"0GB/s\", expected from 1KB/s to"},
      {{R"(nic="infGB/s")"}, "/nic: found \"infGB/s\", expected a text with a unit"},
      {{"fabric={\"kind\": \"fat-tree\"}", R"(fabric/cable="0B/s")"},
       "/fabric/cable: found \"0B/s\", expected from"},
      {{R"(fabric={"kind": "fattree"})"},
       "/fabric/kind: found \"fattree\", expected one of non-blocking, fat-tree (did "
       "you mean \"fat-tree\"?)"},
      {{R"(fabric={"rails": true})"}, "/fabric"},
      {{"fabric={\"layers\": 4}"}, "/fabric/layers: found 4, expected"},
      {{"fabric={\"oversubscription\": 0.5}"}, "/fabric/oversubscription: found 0.5, expected"},
      {{R"(fabric={"kind": "fat-tree", "planes": 3})"},
       "/fabric/planes: found 3, expected a divisor of the node's 8 NICs"},
      // A default that does not fit is laid at the object's door.
      {{R"(fabric={"kind": "fat-tree", "switch_ports": 16})"},
       "/fabric: found an object, expected for fabric/nodes_per_leaf "
       "fewer: 32 NICs"},
      {{"gpus=60", R"(fabric={"kind": "fat-tree"})"},
       "/gpus: found 60, expected whole nodes of 8 under a fat tree"},
      {{"gpus=1048576", R"(fabric={"kind": "fat-tree", "nodes_per_leaf": 1})"},
       "/fabric/nodes_per_leaf: found 1, expected "
       "more: 1048576 leaves"},
      {{"nics_per_node=3"}, "/nics_per_node: found 3, expected a divisor of the 8 GPUs of a node"},
      {{R"(nic_usable="60GB/s")"},
       "/nic_usable: found \"60GB/s\", expected at most the card's rate, 50GB/s"},
      {{R"(pools=[{"device": "h800", "nodes": 7}])"},
       "/gpus: found 64, expected 56, as many as the pools' 7 nodes have"},
      {{R"(pools=[{"device": "h800", "nodes": 8, "gpus_per_node": 4}])"}, "/pools/0"},
      {{R"(pools=[{"device": "h8000", "nodes": 8}])"}, "did you mean \"h800\""},
  };
  for (const Case& c : cases) {
    const std::string message = MessageOf([&] { Load(c.sets); });
    EXPECT_NE(message.find(c.says), std::string::npos) << c.sets.back() << ": " << message;
  }
}

TEST(ClusterLoaderTest, BuiltInClustersAreWhatTheyAreCalled) {
  for (const std::string_view name : BuiltinNames("clusters"))
    EXPECT_EQ(LoadCluster(std::string(name)).name, name);
  EXPECT_EQ(Bisection(LoadCluster("h800-2048-fat-tree")), GBps(1024 * 50));
  EXPECT_EQ(Bisection(LoadCluster("h800-2048-fat-tree-2to1")), GBps(512 * 50));
  EXPECT_EQ(Bisection(LoadCluster("h800-2048-multi-plane")), GBps(1024 * 50));
  EXPECT_EQ(Bisection(LoadCluster("h800-32-fat-tree")), GBps(16 * 50));
  EXPECT_EQ(Bisection(LoadCluster("h100-16384-fat-tree")), GBps(8192 * 50));
  // A step on mixed nodes waits for the slower NVLink.
  const Cluster mixed = LoadCluster("h100-h800-2048");
  EXPECT_EQ(mixed.device.nvlink_usable, LoadDevice("h800").nvlink_usable);
  EXPECT_EQ(mixed.device.name, "h100");
  EXPECT_EQ(CapacityOf(mixed, LinkOf(0, Port::kNvlinkOut)), LoadDevice("h100").nvlink_usable);
}

}  // namespace
}  // namespace moecast
