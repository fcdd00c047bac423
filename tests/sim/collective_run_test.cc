#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"
#include "sim/network/collective_report.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

// Two nodes of four GPUs, NVLink 100 GB/s and NICs 10 GB/s. Kernels start after 5 us, a step
// inside a node takes 1 us, one between nodes 10 us.
Cluster TwoNodes() {
  Cluster c{.name = "test", .gpus = 8, .gpus_per_node = 4, .nic = GBps(10), .nic_usable = GBps(10)};
  c.device.nvlink = c.device.nvlink_usable = GBps(100);
  c.collective_launch = c.bulk_launch = c.token_launch = Microseconds(5);
  c.nvlink_step = Microseconds(1);
  c.network_step = Microseconds(10);
  return c;
}

NamedCollective Named(CollectiveKind kind, std::vector<int> group, Bytes bytes) {
  NamedCollective c{.call = {.kind = kind, .group = std::move(group), .bytes = bytes}};
  c.algorithm = &FastestAlgorithm(c.call, TwoNodes(), Routes(TwoNodes()));
  return c;
}
// A token goes to one rank, so that each of n gets the n-th part.
NamedCollective Dispatch(std::vector<int> group, Bytes bytes) {
  return Named(CollectiveKind::kDispatch, std::move(group), bytes);
}

CollectiveReport Report(const std::vector<NamedCollective>& collectives,
                        Level level = Level::kFluid,
                        const std::vector<CapacityChange>& changes = {},
                        const Cluster& c = TwoNodes()) {
  return ReportCollectives(c, collectives, changes, level);
}

// 40 MB, of which a rank keeps a quarter: each link carries 30 MB in 300 us, after 5 + 1 us.
// nccl-tests: 40 MB over 306 us, and 3/4 of that.
TEST(CollectiveReportTest, ItsTimeAndBandwidthsAreThoseOfItsBytes) {
  for (const Level level : {Level::kAnalytic, Level::kFluid}) {
    const CollectiveReport r = Report({Dispatch({0, 1, 2, 3}, MB(40))}, level);
    EXPECT_NEAR(r.jobs[0].time->value, 306e-6, 1e-12);
    EXPECT_NEAR(r.jobs[0].alone.value, 306e-6, 1e-15);
    EXPECT_NEAR(r.jobs[0].algorithm_bandwidth.value, 40e6 / 306e-6, 1e3);
    EXPECT_NEAR(r.jobs[0].bus_bandwidth.value, 30e6 / 306e-6, 1e3);
    ASSERT_EQ(r.links.size(), 8u);
    for (const LinkUse& use : r.links) EXPECT_NEAR(use.utilisation, 300.0 / 306, 1e-8);
    EXPECT_EQ(r.jobs[0].bottleneck, LinkOf(0, Port::kNvlinkOut));  // the first of equals
  }
}

// More pairs than 32 bits count, on nodes of four. Direct: a NIC carries (n - 4) / n of the buffer,
// stretched by (n - 1/2) / (n - 1), and kernels start after 5 + 1 + 10 us. By two hops a token of
// one device and node: a NIC carries (nodes - 1) / nodes of the buffer, NVLink 3/4.
TEST(CollectiveReportTest, AllToAllsOfMoreGpusThan32BitsCountPairs) {
  for (const int n : {66'000, 131'072}) {
    Cluster c = TwoNodes();
    c.gpus = n;
    std::vector<int> all(static_cast<size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    for (const Level level : {Level::kAnalytic, Level::kFluid}) {
      std::vector<NamedCollective> calls = {
          {.call = {.kind = CollectiveKind::kAllToAll, .group = all, .bytes = MB(40)}},
          {.call = {.kind = CollectiveKind::kDispatch, .group = all, .bytes = MB(40)}}};
      for (NamedCollective& call : calls) {
        call.algorithm = &FastestAlgorithm(call.call, c, Routes(c));
        const bool direct = call.call.kind == CollectiveKind::kAllToAll;
        const double by_nic = direct ? (n - 4.0) / n * (n - 0.5) / (n - 1) : 1 - 4.0 / n;
        const CollectiveReport r = Report({call}, level, {}, c);
        ASSERT_TRUE(r.jobs[0].time);
        EXPECT_NEAR(r.jobs[0].time->value, 16e-6 + by_nic * 4e-3, 1e-11) << n;
        EXPECT_NEAR(r.jobs[0].alone.value, 16e-6 + by_nic * 4e-3, 1e-11) << n;
      }
    }
  }
}

// Two pairs of GPUs exchange 1 MB each way, and one GPU is in both: 200 us at half its NIC's 10
// GB/s where each alone takes 100; both begin after 5 + 10 us.
TEST(CollectiveReportTest, CollectivesAtOnceShareTheLinks) {
  const std::vector<NamedCollective> pairs = {Dispatch({0, 4}, MB(2)), Dispatch({0, 5}, MB(2))};
  const CollectiveReport shared = Report(pairs), apart = Report(pairs, Level::kAnalytic);
  for (size_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(shared.jobs[j].time->value, 215e-6, 1e-12);
    EXPECT_NEAR(apart.jobs[j].time->value, 115e-6, 1e-12);
    EXPECT_EQ(shared.jobs[j].bottleneck, LinkOf(0, Port::kNicOut));
  }
  ASSERT_EQ(shared.links.size(), 6u);
  EXPECT_EQ(shared.links[0].link, LinkOf(0, Port::kNicOut));
  EXPECT_NEAR(shared.links[1].utilisation, 200.0 / 215, 1e-8);
  EXPECT_NEAR(shared.links[2].utilisation, 100.0 / 215, 1e-8);
  // At the analytic level both fit into the time of one.
  EXPECT_NEAR(apart.links[0].utilisation, 200.0 / 115, 1e-8);
}

// 1 MB from 15 us on: half of it by 65 us at 10 GB/s, the other half at 5 GB/s, 100 us more. The
// link could have carried 650 + 500 KB until then.
TEST(CollectiveReportTest, ALinkDegradesAtItsTime) {
  const CollectiveReport r =
      Report({Dispatch({0, 4}, MB(2))}, Level::kFluid,
             {{Time::From(Microseconds(65)), LinkOf(0, Port::kNicOut), GBps(5)}});
  EXPECT_NEAR(r.jobs[0].time->value, 165e-6, 1e-12);
  EXPECT_EQ(r.links[0].link, LinkOf(0, Port::kNicOut));
  EXPECT_NEAR(r.links[0].utilisation, 1000.0 / 1150, 1e-8);
}

TEST(CollectiveReportTest, AFailedLinkIsNamedAndOthersGoOn) {
  for (const Level level : {Level::kAnalytic, Level::kFluid}) {
    const CollectiveReport r =
        Report({Named(CollectiveKind::kAllReduce, {0, 1, 2, 3, 4, 5, 6, 7}, MB(10)),
                Named(CollectiveKind::kAllGather, {0, 1, 2, 3}, MB(1))},
               level, {{Time::From(Microseconds(100)), LinkOf(6, Port::kNicIn), GBps(0)}});
    EXPECT_FALSE(r.jobs[0].time.has_value());
    EXPECT_EQ(r.jobs[0].bottleneck, LinkOf(6, Port::kNicIn));
    EXPECT_EQ(r.blocked, std::vector<LinkId>{LinkOf(6, Port::kNicIn)});
    EXPECT_TRUE(r.jobs[1].time.has_value());
  }
}

TEST(CollectiveReportTest, TrafficWithoutAPathCannotEnd) {
  Cluster c = TwoNodes();
  for (int gpu = 0; gpu < 4; ++gpu) c.cut.push_back(LinkOf(gpu, Port::kNicOut));
  const CollectiveReport r =
      Report({Dispatch({0, 1, 4, 5}, MB(1)), Dispatch({0, 1}, MB(1))}, Level::kFluid, {}, c);
  EXPECT_FALSE(r.jobs[0].time.has_value());
  EXPECT_EQ(r.jobs[0].unreachable, 2);  // from each of the first node to the GPU of its index
  EXPECT_TRUE(r.jobs[1].time.has_value());
  EXPECT_EQ(r.jobs[1].unreachable, 0);
}

Traffic OnePath(int from, int to, Bytes bytes) {
  const bool near = from / 4 == to / 4;
  Traffic t{.nvlink_steps = near, .network_steps = !near, .transport = Transport::kTokens};
  t.Add(Routes(TwoNodes()).Between(from, to), bytes);
  t.Merge();
  return t;
}

// 30 MB over NVLink and, when that is done, 1 MB over a NIC: 5 + 1 + 300 us, then 5 + 10 + 100 us.
TEST(CollectiveRunTest, PartsRunOneAfterTheOther) {
  const std::vector<Traffic> parts = {OnePath(0, 1, MB(30)), OnePath(0, 4, MB(1))};
  for (const Level level : {Level::kAnalytic, Level::kFluid}) {
    const FlowChain chain = ChainOf(parts, TwoNodes(), level, Time::From(Microseconds(7)));
    const CollectiveRun run = RunCollectives(TwoNodes(), std::vector{chain}, {}, level);
    EXPECT_EQ(run.jobs[0].end, Time::From(Microseconds(7 + 306 + 115)));
    EXPECT_EQ(run.last, run.jobs[0].end);
    EXPECT_EQ(run.links.size(), 4u);
  }
}

std::vector<int> AllGpus(const Cluster& c) {
  std::vector<int> all;
  for (int gpu = 0; gpu < c.gpus; ++gpu) all.push_back(gpu);
  return all;
}

// A rank sends 1/n of its 16 MB to each of the n - 8 GPUs on other nodes, over a NIC of 10 GB/s
// that all its bytes wait for; of the direct all-to-all (n - 1/2)/(n - 1) bytes for each. Before
// that 5 us, 1 us and 10 us. Pairs are 4.4 and 17.2 milliards, more than an int counts.
TEST(CollectiveReportTest, AnAllToAllOfAHundredThousandGpusTakesItsBytesOverItsNic) {
  for (const int gpus : {66'000, 131'072}) {
    Cluster c = TwoNodes();
    c.gpus = gpus;
    c.gpus_per_node = 8;
    const double n = gpus;
    const double expected = 16e6 * (n - 8) / n * (n - 0.5) / (n - 1) / 10e9 + 16e-6;
    for (const Level level : {Level::kAnalytic, Level::kFluid}) {
      const CollectiveReport r =
          Report({Named(CollectiveKind::kAllToAll, AllGpus(c), MB(16))}, level, {}, c);
      EXPECT_NEAR(r.jobs[0].alone.value, expected, 1e-12);
      ASSERT_TRUE(r.jobs[0].time);
      EXPECT_NEAR(r.jobs[0].time->value, expected, 5e-12);
      EXPECT_EQ(r.jobs[0].bottleneck, LinkOf(0, Port::kNicOut));
    }
  }
}

// Every algorithm that runs on a random group of the cluster.
template <class Visit>
void EachOnRandomGroups(uint64_t seed, int rounds, const Cluster& c, Visit visit) {
  Random random(seed);
  const Routes routes(c);
  for (int round = 0; round < rounds; ++round)
    for (const CollectiveAlgorithm& a : CollectiveAlgorithms()) {
      CollectiveCall call{.kind = a.kind, .bytes = MB(0.1 + 50 * random.Uniform())};
      for (int g = 0; g < c.gpus; ++g)
        if (random.Below(2) == 0) call.group.push_back(g);
      if (call.group.size() < 2 || (a.kind == CollectiveKind::kSend && call.group.size() % 2 != 0))
        continue;
      if (MessageOf([&] { FindAlgorithm(call, a.name, routes); }) == "no UserError")
        visit(NamedCollective{call, &a});
    }
}

TEST(CollectiveReportTest, AnalyticIsTheTimeAloneAndFluidNeverBelow) {
  EachOnRandomGroups(1, 20, TwoNodes(), [](const NamedCollective& c) {
    const std::string name =
        std::string(NameOf(c.call.kind)) + " " + std::string(c.algorithm->name);
    const double analytic = Report({c}, Level::kAnalytic).jobs[0].time->value;
    const CollectiveReport fluid = Report({c});
    EXPECT_NEAR(analytic, fluid.jobs[0].alone.value, 5e-12) << name;
    EXPECT_GE(fluid.jobs[0].time->value, analytic - 20e-12) << name;
    for (const LinkUse& use : fluid.links) EXPECT_LE(use.utilisation, 1 + 1e-9) << name;
  });
}

// All at once: what every link has carried is what they put on it, at what a byte costs.
TEST(CollectiveReportTest, BytesOnTheLinksAreTheTraffics) {
  const Cluster c = TwoNodes();
  const Routes routes(c);
  std::vector<NamedCollective> collectives;
  std::vector<double> expected(static_cast<size_t>(NumberOfLinks(c)));
  EachOnRandomGroups(2, 3, c, [&](const NamedCollective& collective) {
    collectives.push_back(collective);
    for (const Traffic& part : Lower(*collective.algorithm, collective.call, routes))
      for (const PathLoad& p : part.paths)
        for (const LinkId link : p.path.span())
          expected[static_cast<size_t>(link)] += p.bytes.value * LinkCostsOf(part, c).of(c, p.path);
  });
  ASSERT_GT(collectives.size(), 30u);
  const CollectiveReport r = Report(collectives);
  Seconds last;
  for (const auto& job : r.jobs) last = std::max(last, *job.time);
  for (const LinkUse& use : r.links) {
    const double bytes = use.utilisation * (CapacityOf(c, use.link) * last).value;
    EXPECT_NEAR(bytes, expected[static_cast<size_t>(use.link)], 1e-8 * bytes);
    expected[static_cast<size_t>(use.link)] = 0;
  }
  for (const double left : expected) EXPECT_EQ(left, 0);
}

}  // namespace
}  // namespace moecast
