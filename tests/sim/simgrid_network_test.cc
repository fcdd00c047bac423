// Fluid against SimGrid, flow by flow. Skipped where moecast-simgrid has not been built.
#include "sim/network/simgrid_network.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <numeric>
#include <thread>

#include "costmodel/collectives/algorithms.h"
#include "sim/network/analytic_network.h"
#include "sim/network/fluid_network.h"
#include "tests/costmodel/all_to_all.h"
#include "tests/message_of.h"
#include "tests/sim/random_flows.h"
#include "tests/sim/run_flows.h"
#include "tests/topology/test_clusters.h"

namespace moecast {
namespace {

const char kHelper[] = MOECAST_SIMGRID;

std::unique_ptr<ChildProcess> Helper() {
  return std::make_unique<ChildProcess>(kHelper, std::vector<std::string>{});
}

#define SKIP_WITHOUT_SIMGRID()      \
  if (::access(kHelper, X_OK) != 0) \
  GTEST_SKIP() << "moecast-simgrid is not built: no SimGrid was found"

// The contract: a relative 1e-6 or 1 ns, whichever is larger.
void ExpectAgreement(const std::vector<BytesPerSecond>& capacity, const std::vector<Flow>& flows,
                     const std::vector<CapacityChange>& changes = {}) {
  FluidNetwork fluid(capacity);
  SimgridNetwork simgrid(Helper(), capacity);
  const FlowEnds ours = RunFlows(fluid, flows, changes), theirs = RunFlows(simgrid, flows, changes);
  EXPECT_EQ(ours.blocked, theirs.blocked);
  for (size_t f = 0; f < flows.size(); ++f) {
    if (ours.end[f] == kNever || theirs.end[f] == kNever) {
      EXPECT_EQ(ours.end[f], theirs.end[f]) << "flow " << f;
      continue;
    }
    const double a = static_cast<double>(ours.end[f].ps), b = static_cast<double>(theirs.end[f].ps);
    EXPECT_NEAR(a, b, std::max(1000.0, 1e-6 * b)) << "flow " << f;
  }
  if (!changes.empty()) return;
  AnalyticNetwork analytic(capacity);
  const FlowEnds alone = RunFlows(analytic, flows);
  for (size_t f = 0; f < flows.size(); ++f) EXPECT_LE(alone.end[f].ps, ours.end[f].ps + 20);
}

// Nodes of 8 GPUs with the rates of H800s.
Cluster Nodes(int nodes) {
  Cluster c{.name = "test", .gpus = 8 * nodes};
  c.device.nvlink = GBps(200);
  c.device.nvlink_usable = GBps(157);
  return c;
}

std::vector<BytesPerSecond> Capacities(const Cluster& c) {
  std::vector<BytesPerSecond> capacity;
  for (LinkId l = 0; l < LinkOf(c.gpus, Port::kNvlinkOut); ++l)
    capacity.push_back(CapacityOf(c, l));
  return capacity;
}

std::vector<int> Gpus(int first, int count, int stride = 1) {
  std::vector<int> gpus;
  for (int i = 0; i < count; ++i) gpus.push_back(first + i * stride);
  return gpus;
}

void Append(std::vector<Flow>& flows, const std::vector<Flow>& more) {
  flows.insert(flows.end(), more.begin(), more.end());
}

TEST(SimgridNetworkTest, AgreesOnAnAllToAllInsideANode) {
  SKIP_WITHOUT_SIMGRID();
  const Cluster c = Nodes(1);
  const Traffic t = ExpertAllToAll(Gpus(0, 8), MB(40), {.devices = 2.77, .nodes = 1}, Routes(c));
  ExpectAgreement(Capacities(c), FlowsOf(t, c, {}));
}

TEST(SimgridNetworkTest, AgreesOnTwoHopsOverTheRails) {
  SKIP_WITHOUT_SIMGRID();
  const Cluster c = Nodes(8);
  const Traffic t = ExpertAllToAll(Gpus(0, 64), MB(56), {.devices = 7.5, .nodes = 3.5}, Routes(c));
  ExpectAgreement(Capacities(c), FlowsOf(t, c, Time{17}));
}

TEST(SimgridNetworkTest, AgreesOnRingsAndTrees) {
  SKIP_WITHOUT_SIMGRID();
  const Cluster c = Nodes(4);
  const Routes routes(c);
  ExpectAgreement(Capacities(c), FlowsOf(RingAllReduce(Gpus(0, 32), MB(100), routes), c, {}));
  ExpectAgreement(Capacities(c), FlowsOf(TreeAllReduce(Gpus(0, 32), MB(1), routes), c, {}));
  std::vector<Flow> both = FlowsOf(RingAllGather(Gpus(0, 32), MB(100), routes), c, {});
  Append(both, FlowsOf(TreeAllReduce(Gpus(0, 32), MB(9), routes), c, Time{100'000'000}));
  ExpectAgreement(Capacities(c), both);
}

// Experts on 16 GPUs of two nodes, data parallelism over every eighth GPU, the pipeline to the next
// 16 GPUs: all over the same NICs, each from its own moment.
TEST(SimgridNetworkTest, AgreesOnExpertDataAndPipelineTrafficOnTheSameCards) {
  SKIP_WITHOUT_SIMGRID();
  const Cluster c = Nodes(4);
  const Routes routes(c);
  std::vector<Flow> flows;
  for (int i = 0; i < 2; ++i)
    Append(flows,
           FlowsOf(ExpertAllToAll(Gpus(16 * i, 16), MB(80), {.devices = 4, .nodes = 1.8}, routes),
                   c, Time{i * 250'000'000}));
  for (int i = 0; i < 8; ++i)
    Append(flows,
           FlowsOf(RingReduceScatter(Gpus(i, 4, 8), MB(30 + i), routes), c, Time{100'000'000}));
  Append(flows, FlowsOf(Send(Gpus(0, 16), Gpus(16, 16), MB(21), routes), c, Time{400'000'000}));
  ExpectAgreement(Capacities(c), flows);
}

TEST(SimgridNetworkTest, AgreesOnEveryAlgorithmOverTwoNodesAndOverSwitches) {
  SKIP_WITHOUT_SIMGRID();
  for (const Cluster& c : {Nodes(2), NodesOf8(4, SmallTree())}) {
    const Routes routes(c);
    std::vector<BytesPerSecond> capacity;
    for (LinkId l = 0; l < NumberOfLinks(c); ++l) capacity.push_back(CapacityOf(c, l));
    for (const CollectiveAlgorithm& a : CollectiveAlgorithms()) {
      if (a.needs == Needs::kOneNode) continue;
      const CollectiveCall call{.kind = a.kind,
                                .group = Gpus(0, c.gpus),
                                .bytes = MB(20),
                                .spread = {.devices = 3.5, .nodes = 1.75, .experts = 6}};
      SCOPED_TRACE(std::string(NameOf(a.kind)) + " " + std::string(a.name));
      for (const Traffic& part : Lower(a, call, routes))
        ExpectAgreement(capacity, FlowsOf(part, c, {}));
    }
  }
}

// No flow shares a link: every level gives bytes over the slowest link, to a picosecond.
TEST(SimgridNetworkTest, AllLevelsAgreeWithoutContention) {
  SKIP_WITHOUT_SIMGRID();
  Random random(3);
  std::vector<BytesPerSecond> capacity;
  std::vector<Flow> flows;
  for (LinkId l = 0; l < 60; l += 2) {
    capacity.push_back(GBps(1 + 200 * random.Uniform()));
    capacity.push_back(GBps(1 + 200 * random.Uniform()));
    flows.push_back({.start = Time::From(Seconds(1e-3 * random.Uniform())),
                     .links = {{l}, {l + 1}},
                     .bytes = MB(0.1 + 50 * random.Uniform())});
  }
  AnalyticNetwork analytic(capacity);
  FluidNetwork fluid(capacity);
  SimgridNetwork simgrid(Helper(), capacity);
  const std::vector<Time> a = RunFlows(analytic, flows).end, f = RunFlows(fluid, flows).end,
                          s = RunFlows(simgrid, flows).end;
  for (size_t i = 0; i < flows.size(); ++i) {
    const BytesPerSecond slowest = std::min(capacity[2 * i], capacity[2 * i + 1]);
    const double exact =
        static_cast<double>((flows[i].start + Time::From(flows[i].bytes / slowest)).ps);
    EXPECT_NEAR(static_cast<double>(a[i].ps), exact, 1);
    EXPECT_NEAR(static_cast<double>(f[i].ps), exact, 1);
    EXPECT_NEAR(static_cast<double>(s[i].ps), exact, 1);
  }
}

TEST(SimgridNetworkTest, AgreesOnUnequalSizes) {
  SKIP_WITHOUT_SIMGRID();
  const Cluster c = Nodes(2);
  const Routes routes(c);
  Random random(1);
  std::vector<Flow> flows;
  for (int i = 0; i < c.gpus; ++i)
    for (int j = 0; j < c.gpus; ++j) {
      if (i == j) continue;
      Flow f{.start = Time::From(Seconds(1e-4 * random.Uniform())),
             .bytes = MB(10 * random.Uniform())};
      const Path path = routes.Between(i, j);
      for (const LinkId link : path.span()) f.links.push_back({link});
      flows.push_back(f);
    }
  ExpectAgreement(Capacities(c), flows);
}

TEST(SimgridNetworkTest, AgreesOnRandomFlowsAndCapacitiesThatChange) {
  SKIP_WITHOUT_SIMGRID();
  Random random(2);
  for (int round = 0; round < 60; ++round) {
    const RandomNetwork n = DrawNetwork(random, 30, true);
    std::vector<CapacityChange> changes;
    for (uint64_t i = random.Below(8); i > 0; --i)
      changes.push_back({Time::From(Seconds(1e-3 * random.Uniform())),
                         static_cast<LinkId>(random.Below(n.capacity.size())),
                         GBps(random.Below(2) == 0 ? 0 : 100 * random.Uniform())});
    ExpectAgreement(n.capacity, n.flows, changes);
  }
}

TEST(SimgridNetworkTest, FlowsWithoutBytesOrLinksEndAtOnce) {
  SKIP_WITHOUT_SIMGRID();
  ExpectAgreement({GBps(1)}, {{.start = Time{5}, .links = {{0}}, .bytes = Bytes(0)},
                              {.start = Time{9}, .bytes = MB(1), .multiplicity = 3},
                              {.start = Time{9}, .links = {{0}}, .bytes = MB(1)}});
}

TEST(SimgridNetworkTest, ManyNetworksRunAtOnce) {
  SKIP_WITHOUT_SIMGRID();
  const std::vector<BytesPerSecond> capacity = {GBps(1)};
  SimgridNetwork a(Helper(), capacity), b(Helper(), capacity);
  a.Start({}, std::vector<LinkShare>{{0}}, MB(1), 1, 0);
  b.Start({}, std::vector<LinkShare>{{0}}, MB(2), 1, 0);
  EXPECT_EQ(a.Next(), Time{1'000'000'000});
  EXPECT_EQ(b.Next(), Time{2'000'000'000});
}

// A shell in its place: what it says last is in the message, whatever way it ends.
std::string MessageOfShell(const std::string& script) {
  return MessageOf([&] {
    auto shell = std::make_unique<ChildProcess>("/bin/sh", std::vector<std::string>{"-c", script});
    SimgridNetwork network(std::move(shell), std::vector<BytesPerSecond>{GBps(1)});
    network.Start({}, std::vector<LinkShare>{{0}}, MB(1), 1, 0);
    network.Next();
  });
}

TEST(SimgridNetworkTest, AHelperThatDiesIsAnErrorWithItsWords) {
  EXPECT_EQ(MessageOfShell("echo moecast-simgrid 1; read links; echo out of memory >&2; exit 3"),
            "/bin/sh: found ended early: exit code 3: out of memory");
  EXPECT_EQ(MessageOfShell("kill -9 $$"), "/bin/sh: found ended early: signal Killed");
  EXPECT_EQ(MessageOfShell("exit 0"), "/bin/sh: found ended early: exit code 0");
  EXPECT_EQ(MessageOf([] { ChildProcess("/no/such/program", {}); }),
            "/no/such/program: found cannot be run: No such file or directory");
}

TEST(SimgridNetworkTest, MoreFlowsThanItCanTimeAreAnError) {
  EXPECT_EQ(
      MessageOf([] {
        SimgridNetwork network(
            std::make_unique<ChildProcess>(
                "/bin/sh", std::vector<std::string>{"-c", "echo moecast-simgrid 1; cat"}),
            std::vector<BytesPerSecond>{GBps(1)});
        network.Start({}, std::vector<LinkShare>{{0}}, MB(1), SimgridNetwork::kMostAtOnce, 0);
        network.Start({}, std::vector<LinkShare>{{0}}, MB(1), 1, 0);
      }),
      "level simgrid: found 10001 flows at once, expected at most 10000; level fluid takes more");
}

// Whoever started it ends in the midst of a question that takes it long, without saying so.
TEST(SimgridNetworkTest, TheHelperDoesNotOutliveItsParent) {
  SKIP_WITHOUT_SIMGRID();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    // The shell becomes the helper and keeps its number.
    auto* helper = new ChildProcess("/bin/sh", {"-c", "echo $$; exec '" MOECAST_SIMGRID "'"});
    const int pid = std::stoi(helper->ReadLine());
    helper->ReadLine();
    helper->Write("links 1e9\n");
    for (int i = 0; i < 6000; ++i) helper->Write("start 0 " + std::to_string(1e6 + i) + " 1 0\n");
    helper->Write("blocked\n");
    helper->ReadLine();
    // To the ends of all, one after the other: seconds.
    helper->Write("advance 1000000000000000\n");
    std::thread([helper] { helper->ReadLine(); }).detach();
    ::usleep(50'000);
    ::_exit(::write(pipe_ends[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
  }
  int pid = 0;
  ASSERT_EQ(::read(pipe_ends[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  int status = 0;
  ASSERT_EQ(::waitpid(parent, &status, 0), parent);
  const auto gone = [pid] {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    return !std::getline(stat, text) || text.find(") Z") != std::string::npos;
  };
  for (int i = 0; i < 200 && !gone(); ++i) ::usleep(10'000);
  EXPECT_TRUE(gone());
  if (!gone()) ::kill(pid, SIGKILL);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(SimgridNetworkTest, AHelperThatSpeaksAnotherLanguageIsAnError) {
  EXPECT_EQ(MessageOfShell("echo moecast-simgrid 2; cat"),
            "moecast-simgrid: found moecast-simgrid 2, expected moecast-simgrid 1");
  EXPECT_EQ(MessageOfShell("echo moecast-simgrid 1; read a; read b; read c; echo next soon; cat"),
            "moecast-simgrid: found  soon, expected whole numbers");
  EXPECT_EQ(MessageOfShell("echo moecast-simgrid 1; read a; read b; read c; echo later; cat"),
            "moecast-simgrid: found later, expected next ...");
}

TEST(SimgridNetworkTest, TheHelperNamesALineItDoesNotUnderstand) {
  SKIP_WITHOUT_SIMGRID();
  const auto said = [](const std::string& lines) {
    return MessageOf([&] {
      const auto helper = Helper();
      EXPECT_EQ(helper->ReadLine(), "moecast-simgrid 1");
      helper->Write(lines);
      helper->ReadLine();
    });
  };
  EXPECT_NE(said("links 1e9\ncount 3\n").find("moecast-simgrid: line not understood: count 3"),
            std::string::npos);
  EXPECT_NE(said("links 1e9 x\n").find("line not understood: links 1e9 x"), std::string::npos);
  EXPECT_NE(said("links 1e9\nstart 0 1e6 1 7\n").find("7"), std::string::npos);
}

}  // namespace
}  // namespace moecast
