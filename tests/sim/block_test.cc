#include "sim/engine/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace moecast {
namespace {

// A block with its times, written op by op.
struct Ops : CostedOps {
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
  // Compute-bound kernels run at `rate` beside a collective, which takes `hbm` of the bandwidth.
  BlockTime Solve(double rate = 1, double hbm = 0) const {
    CostedOps block = *this;
    for (const Op& op : ops) block.beside.push_back(op.stream() == Stream::kCompute ? rate : hbm);
    return SolveBlock(block, times);
  }
};

double Busy(const BlockTime& t, OpClass c) {
  return t.busy[static_cast<size_t>(c)].value;
}
double Exposed(const BlockTime& t, GroupKind g) {
  return t.exposed[static_cast<size_t>(g)].value;
}
double ComputeStream(const BlockTime& t) {
  double sum = t.recomputed.value;
  for (const OpClass c :
       {OpClass::kGemm, OpClass::kGroupedGemm, OpClass::kAttention, OpClass::kElementwise})
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

// 4 s over ep beside 1 s, which leaves 3 s; then 2 s over tp, which waits for them and which
// nothing hides.
TEST(SolveBlockTest, WhatComputeDoesNotHideIsExposedByGroup) {
  Ops b;
  b.Communicate(4);
  b.Compute(1);
  b.Communicate(2, 0, GroupKind::kTp);
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
  // A fifth of the bandwidth: 3.2 of 5 s get done beside the 4 s.
  EXPECT_DOUBLE_EQ(memory_bound.Solve(0.75, 0.2).total.value, 5.8);
  Ops latency_bound;
  latency_bound.Communicate(4);
  latency_bound.Compute(5, -1, Bound::kLatency);
  EXPECT_DOUBLE_EQ(latency_bound.Solve(0.75, 0.2).total.value, 5);
}

TEST(SolveBlockTest, CollectivesOfTwoGroupsOverlapAndThoseOfOneDoNot) {
  Ops one, two;
  for (const GroupKind group : {GroupKind::kEp, GroupKind::kTp}) {
    one.Communicate(group == GroupKind::kEp ? 4 : 2);
    two.Communicate(group == GroupKind::kEp ? 4 : 2, -1, group);
  }
  EXPECT_DOUBLE_EQ(one.Solve().total.value, 6);
  const BlockTime t = two.Solve();
  EXPECT_DOUBLE_EQ(t.total.value, 4);
  EXPECT_DOUBLE_EQ(Busy(t, OpClass::kCollective), 6);
  // 2 s of both, half of it each's, and 2 s of one.
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kEp), 3);
  EXPECT_DOUBLE_EQ(Exposed(t, GroupKind::kTp), 1);
}

// 4 s beside two collectives that each take a quarter of the SMs and a fifth of the bandwidth: 2 of
// 5 s, or 2.4 of 5 s, get done. Where the two would take more than there is, a third is left of SMs
// and of bandwidth, the kernel's fair share among three; no more SMs than beside one of them.
TEST(SolveBlockTest, WhatTwoCollectivesTakeFromAKernelAddsUpAndSomeIsLeft) {
  for (const Bound bound : {Bound::kCompute, Bound::kMemory}) {
    Ops b;
    b.Communicate(4);
    b.Communicate(4, -1, GroupKind::kTp);
    b.Compute(5, -1, bound);
    EXPECT_DOUBLE_EQ(b.Solve(0.75, 0.2).total.value, bound == Bound::kCompute ? 7 : 6.6);
    EXPECT_NEAR(b.Solve(0.4, 0.6).total.value, 4 + (5 - 4.0 / 3), 1e-12);
    EXPECT_NEAR(b.Solve(0.3, 0.6).total.value,
                bound == Bound::kCompute ? 4 + (5 - 4 * 0.3) : 4 + (5 - 4.0 / 3), 1e-12);
  }
}

// Two collectives that another times: one over ep from the start, one over tp from 2 s on, when the
// first kernel has ended. That ends at 3.5 s, and the 1 s behind it beside the first, which ends at
// 10 s.
TEST(RunningBlockTest, SharedCollectivesOfTwoGroupsAreUnderWayAtOnce) {
  Ops b;
  b.Communicate(0);
  b.Compute(2);
  b.Communicate(0, 1, GroupKind::kTp);
  b.Compute(1, 2);
  b.beside.assign(4, 1);
  const std::vector<char> shared{1, 0, 1, 0};
  std::vector<OpSpan> spans;
  RunningBlock run;
  run.Begin(b, b.times, shared, &spans);
  EXPECT_EQ(run.RunOn(), 0u);
  EXPECT_EQ(run.RunOn(), RunningBlock::kWaits);
  EXPECT_EQ(run.Next(), Seconds(2));
  EXPECT_EQ(run.RunOn(run.Next()), 2u);
  EXPECT_EQ(run.now(), Seconds(2));
  EXPECT_EQ(run.RunOn(run.Next()), RunningBlock::kWaits);
  EXPECT_EQ(run.Next().value, INFINITY);
  EXPECT_EQ(run.RunOn(Seconds(3.5), 2), RunningBlock::kWaits);
  EXPECT_EQ(run.RunOn(Seconds(10), 0), RunningBlock::kDone);
  EXPECT_EQ(run.now(), Seconds(10));
  EXPECT_EQ(spans[3].start, Seconds(3.5));
  EXPECT_EQ(spans[3].end, Seconds(4.5));
  EXPECT_DOUBLE_EQ(Exposed(run.result(), GroupKind::kTp), 0.75);  // half of 2 to 3.5
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

// Forward a (2 s), its dispatch d (3 s), m (1 s). Backward: an exchange c (2 s), n (3 s), its
// exchange e (1 s), x (1 s); the weight gradient of n, w (1 s). Compute a 0-2, n 2-5, m 5-6, x 6-7,
// w 7-8; communication c 0-2, d 2-5, e 5-6: 8 s where one after another takes 6 + 7 + 1.
TEST(OverlappedTest, AForwardAndABackwardHideEachOthersCommunication) {
  Ops forward, backward, weight;
  forward.Compute(2);
  forward.Communicate(3, 0);
  forward.Compute(1, 1);
  backward.Communicate(2);
  backward.Compute(3, 0);
  backward.Communicate(1, 1);
  backward.Compute(1, 2);
  weight.Compute(1);
  backward.ops[1].name = weight.ops[0].name = OpName::kExpertUp;
  Ops pair;
  std::vector<OpSpan> spans;
  for (Ops* list : {&forward, &backward, &weight}) {
    list->beside.assign(list->ops.size(), 1);
    for (size_t i = 0; i < list->ops.size(); ++i)
      if (list->ops[i].stream() != Stream::kCompute) list->beside[i] = 0;
    pair.times.insert(pair.times.end(), list->times.begin(), list->times.end());
  }
  const CostedOps *f = &forward, *b = &backward, *w = &weight;
  const CostedOps block = Overlapped({&f, 1}, {&b, 1}, {&w, 1});
  EXPECT_EQ(block.ops[7].after, 4);  // w waits for n
  const BlockTime t = SolveBlock(block, pair.times, &spans);
  EXPECT_DOUBLE_EQ(t.total.value, 8);
  EXPECT_DOUBLE_EQ(AllExposed(t), 0);
  const double starts[] = {0, 2, 5, 0, 2, 5, 6, 7};
  for (size_t i = 0; i < 8; ++i) EXPECT_DOUBLE_EQ(spans[i].start.value, starts[i]) << i;
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

// An op starts when the one before it on its stream and the one it waits for have ended: no
// slow-down, no events.
TEST(SolveBlockTest, AtFullRateEqualsOneSweepOverTheOps) {
  Random random(1);
  for (int round = 0; round < 500; ++round) {
    const Ops b = AnyOps(random);
    std::vector<double> end(b.ops.size());
    double stream_end[kStreams] = {}, total = 0;
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

// Lists that run together: each stream one op at a time, ops of a list in order and after what they
// wait for, and no stream idle while one of its ops could run.
TEST(OverlappedTest, StreamsTakeOpsInOrderAndIdleOnlyWhereAllWait) {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<Ops> lists;
    for (int i = 0; i < 5; ++i) lists.push_back(AnyOps(random));
    std::vector<Seconds> seconds;
    std::vector<const CostedOps*> blocks;
    for (Ops& list : lists) {
      for (size_t i = 0; i < list.ops.size(); ++i) {
        list.beside.push_back(list.ops[i].stream() == Stream::kCompute
                                  ? 0.5 + 0.5 * random.Uniform()
                                  : 0.2 * random.Uniform());
        list.ops[i].name = static_cast<OpName>(random.Below(4));
      }
      seconds.insert(seconds.end(), list.times.begin(), list.times.end());
      blocks.push_back(&list);
    }
    const std::span<const CostedOps* const> all = blocks;
    const CostedOps block = Overlapped(all.subspan(0, 1), all.subspan(1, 2), all.subspan(3, 2));
    std::vector<OpSpan> spans;
    const BlockTime t = SolveBlock(block, seconds, &spans);
    EXPECT_NEAR(ComputeStream(t) + AllExposed(t), t.total.value, 1e-9);
    const size_t n = block.ops.size();
    // When each op could have started for all that it waits for but its stream.
    std::vector<double> ready(n);
    std::vector<std::vector<size_t>> on_stream(kStreams);
    for (size_t i = 0; i < n; ++i) {
      const size_t stream = static_cast<size_t>(block.ops[i].stream());
      if (const int after = block.ops[i].after; after >= 0)
        ready[i] = spans[static_cast<size_t>(after)].end.value;
      for (size_t j = 0; j < i; ++j) {
        const auto list_of = [&](size_t op) {
          return std::upper_bound(block.list_ends.begin(), block.list_ends.end(), op) -
                 block.list_ends.begin();
        };
        if (block.ops[j].stream() == block.ops[i].stream() && list_of(j) == list_of(i))
          ready[i] = std::max(ready[i], spans[j].end.value);
      }
      EXPECT_GE(spans[i].start.value, ready[i] - 1e-12);
      EXPECT_GE((spans[i].end - spans[i].start).value, seconds[i].value - 1e-12);
      on_stream[stream].push_back(i);
    }
    for (std::vector<size_t>& ops : on_stream) {
      std::sort(ops.begin(), ops.end(), [&](size_t a, size_t b) {
        return std::pair(spans[a].start, spans[a].end) < std::pair(spans[b].start, spans[b].end);
      });
      double free = 0;
      for (const size_t i : ops) {
        EXPECT_GE(spans[i].start.value, free - 1e-12);
        if (spans[i].start.value >
            free + 1e-9)  // idle before it: nothing later on this stream was ready
          for (const size_t j : ops)
            if (spans[j].start >= spans[i].start) {
              EXPECT_GE(ready[j], spans[i].start.value - 1e-9);
            }
        free = spans[i].end.value;
      }
    }
  }
}

TEST(SolveBlockTest, TotalLiesBetweenTheBusierStreamAndTheSumOfAllAndIsComputeAndExposedTime) {
  Random random(2);
  for (int round = 0; round < 500; ++round) {
    const Ops b = AnyOps(random);
    double stream[kStreams] = {};
    for (size_t i = 0; i < b.ops.size(); ++i)
      stream[static_cast<size_t>(b.ops[i].stream())] += b.times[i].value;
    const double all = std::accumulate(stream, stream + kStreams, 0.0),
                 communication = all - stream[0];
    const BlockTime t = b.Solve(0.3 + 0.7 * random.Uniform());
    EXPECT_GE(t.total.value, *std::max_element(stream, stream + kStreams) - 1e-12);
    EXPECT_GE(t.total.value, b.Solve().total.value - 1e-12);
    EXPECT_NEAR(Busy(t, OpClass::kCollective), communication, 1e-12);
    EXPECT_NEAR(ComputeStream(t) + AllExposed(t), t.total.value, 1e-12);
    EXPECT_LE(AllExposed(t), communication + 1e-12);
  }
}

// Some collectives timed by another, who lets each take what it does alone: the block is as alone.
TEST(RunningBlockTest, WhatAnotherTimesAsAloneIsAsAlone) {
  Random random(5);
  for (int round = 0; round < 500; ++round) {
    Ops b = AnyOps(random);
    std::vector<char> shared;
    for (const Op& op : b.ops) {
      const bool communicates = op.stream() != Stream::kCompute;
      b.beside.push_back(communicates ? 0.3 * random.Uniform() : 0.5 + 0.5 * random.Uniform());
      shared.push_back(communicates && random.Below(3) > 0);
    }
    RunningBlock run;
    run.Begin(b, b.times, shared);
    std::vector<std::pair<Seconds, size_t>> out;  // ends of those under way
    size_t op = run.RunOn();
    while (op != RunningBlock::kDone) {
      if (op < RunningBlock::kNone) out.emplace_back(run.now() + b.times[op], op);
      Seconds until = run.now();
      size_t ended = RunningBlock::kNone;
      if (op == RunningBlock::kWaits) {
        const auto first = std::min_element(out.begin(), out.end());
        until = std::min(run.Next(), first->first);
        if (first->first <= run.Next()) {
          ended = first->second;
          out.erase(first);
        }
      }
      op = run.RunOn(until, ended);
      for (; ended != RunningBlock::kNone && op < RunningBlock::kNone; op = run.RunOn(until, ended))
        out.emplace_back(run.now() + b.times[op], op);
    }
    const BlockTime alone = SolveBlock(b, b.times), t = run.result();
    EXPECT_NEAR(t.total.value, alone.total.value, 1e-12);
    for (int g = 0; g < kGroupKinds; ++g)
      EXPECT_NEAR(t.exposed[g].value, alone.exposed[g].value, 1e-12);
    for (int c = 0; c < kOpClasses; ++c) EXPECT_NEAR(t.busy[c].value, alone.busy[c].value, 1e-12);
  }
}

}  // namespace
}  // namespace moecast
