#include "sim/training/block.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/random.h"

namespace moecast {
namespace {

// A block with its times, written op by op.
struct Ops {
  std::vector<Op> ops;
  std::vector<Cost> costs;
  std::vector<Seconds> times;

  void Compute(double seconds, int after = -1, Bound bound = Bound::kCompute) {
    Add({.query = GemmQuery{}, .after = static_cast<int16_t>(after)}, seconds, bound);
  }
  void Communicate(double seconds, int after = -1, GroupKind group = GroupKind::kEp) {
    Add({.query = CollectiveQuery{.group = group}, .after = static_cast<int16_t>(after)}, seconds,
        Bound::kMemory);
  }
  void Add(const Op& op, double seconds, Bound bound) {
    ops.push_back(op);
    costs.push_back({.time = Seconds(seconds), .bound = bound});
    times.push_back(Seconds(seconds));
  }
  BlockTime Solve(double rate = 1) const { return SolveBlock(ops, costs, times, {.compute = rate}); }
};

double Busy(const BlockTime& t, OpClass c) {
  return t.busy[static_cast<size_t>(c)].value;
}
double Exposed(const BlockTime& t, GroupKind g) {
  return t.exposed[static_cast<size_t>(g)].value;
}
double ComputeStream(const BlockTime& t) {
  double sum = t.recomputed.value;
  for (const OpClass c : {OpClass::kGemm, OpClass::kGroupedGemm, OpClass::kAttention, OpClass::kElementwise})
    sum += Busy(t, c);
  return sum;
}
double AllExposed(const BlockTime& t) {
  double sum = 0;
  for (const Seconds s : t.exposed) sum += s.value;
  return sum;
}

TEST(SolveBlockTest, NothingTakesNoTime) {
  EXPECT_EQ(Ops{}.Solve().total.value, 0);
}

// 2 s, then 3 s of communication that waits for it, then 1 s that waits for that.
TEST(SolveBlockTest, OpsThatWaitForEachOtherRunOneAfterAnother) {
  Ops b;
  b.Compute(2);
  b.Communicate(3, 0);
  b.Compute(1, 1);
  const BlockTime t = b.Solve(0.5);  // never together: no slow-down
  EXPECT_DOUBLE_EQ(t.total.value, 6);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kGemm), 3);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kCollective), 3);
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kEp), 3);
}

TEST(SolveBlockTest, CommunicationBesideLongerComputeIsHidden) {
  Ops b;
  b.Communicate(3);
  b.Compute(5);
  EXPECT_DOUBLE_EQ(b.Solve().total.value, 5);
  EXPECT_DOUBLE_EQ(AllExposed(b.Solve()), 0);
}

// 4 s over ep beside 1 s, which leaves 3 s; then 2 s over tp that nothing hides.
TEST(SolveBlockTest, WhatComputeDoesNotHideIsExposedByGroup) {
  Ops b;
  b.Communicate(4);
  b.Compute(1);
  b.Communicate(2, -1, GroupKind::kTp);
  b.Compute(1, 2);
  const BlockTime t = b.Solve();
  EXPECT_DOUBLE_EQ(t.total.value, 7);
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kEp), 3);
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kTp), 2);
}

// At 3/4 of its rate beside 4 s of communication 3 of 5 s get done; 2 s remain: 6 s in all.
TEST(SolveBlockTest, ComputeBoundKernelsSlowDownWhileACollectiveRuns) {
  Ops b;
  b.Communicate(4);
  b.Compute(5);
  const BlockTime t = b.Solve(0.75);
  EXPECT_DOUBLE_EQ(t.total.value, 6);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kGemm), 6);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kCollective), 4);
  Ops memory_bound;
  memory_bound.Communicate(4);
  memory_bound.Compute(5, -1, Bound::kMemory);
  EXPECT_DOUBLE_EQ(memory_bound.Solve(0.75).total.value, 5);
}

TEST(SolveBlockTest, RecomputationIsCountedApart) {
  Ops b;
  b.Compute(2);
  b.Compute(3);
  b.ops[1].recomputed = true;
  EXPECT_EQ(b.Solve().recomputed.value, 3);
  EXPECT_EQ(Busy(b.Solve(), OpClass::kGemm), 2);
}

TEST(BlockTimeTest, SumsAndMultiplesAreOfEveryPart) {
  Ops b;
  b.Communicate(4);
  b.Compute(1);
  b.ops[1].recomputed = true;
  BlockTime t = b.Solve() * 3;
  t += b.Solve();
  EXPECT_DOUBLE_EQ(t.total.value, 16);
  EXPECT_DOUBLE_EQ(t.recomputed.value, 4);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kCollective), 16);
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kEp), 12);
}

Ops AnyOps(Random& random) {
  Ops b;
  int last[2] = {-1, -1};  // by stream
  const int n = 1 + static_cast<int>(random.Below(20));
  for (int i = 0; i < n; ++i) {
    const bool communicates = random.Below(3) == 0;
    const int other = last[communicates ? 0 : 1], after = random.Below(2) == 0 ? other : -1;
    const double seconds = random.Below(8) == 0 ? 0 : random.Uniform();
    if (communicates)
      b.Communicate(seconds, after, static_cast<GroupKind>(random.Below(kGroupKinds)));
    else
      b.Compute(seconds, after, random.Below(2) == 0 ? Bound::kCompute : Bound::kMemory);
    last[communicates ? 1 : 0] = i;
  }
  return b;
}

// An op starts when the one before it on its stream and the one it waits for have ended: no slow-down, no
// events.
TEST(SolveBlockTest, AtFullRateEqualsOneSweepOverTheOps) {
  Random random(1);
  for (int round = 0; round < 500; ++round) {
    const Ops b = AnyOps(random);
    std::vector<double> end(b.ops.size());
    double stream_end[2] = {0, 0}, total = 0;
    for (size_t i = 0; i < b.ops.size(); ++i) {
      double& free = stream_end[static_cast<size_t>(b.ops[i].stream())];
      const double start =
          b.ops[i].after < 0 ? free : std::max(free, end[static_cast<size_t>(b.ops[i].after)]);
      free = end[i] = start + b.times[i].value;
      total = std::max(total, end[i]);
    }
    EXPECT_NEAR(b.Solve().total.value, total, 1e-12);
  }
}

TEST(SolveBlockTest, TotalLiesBetweenTheBusierStreamAndTheSumOfAllAndIsComputeAndExposedTime) {
  Random random(2);
  for (int round = 0; round < 500; ++round) {
    const Ops b = AnyOps(random);
    double compute = 0, communication = 0;
    for (size_t i = 0; i < b.ops.size(); ++i)
      (b.ops[i].stream() == Stream::kCompute ? compute : communication) += b.times[i].value;
    const BlockTime t = b.Solve(0.3 + 0.7 * random.Uniform());
    EXPECT_GE(t.total.value, std::max(compute, communication) - 1e-12);
    EXPECT_LE(t.total.value, compute + communication + 1e-12);
    EXPECT_GE(t.total.value, b.Solve().total.value - 1e-12);
    EXPECT_NEAR(Busy(t, OpClass::kCollective), communication, 1e-12);
    EXPECT_NEAR(ComputeStream(t) + AllExposed(t), t.total.value, 1e-12);
  }
}

}  // namespace
}  // namespace moecast
