#include "sim/training/step_schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "base/random.h"

namespace moecast {
namespace {

PipelineShape ShapeOf(int stages, int micro_batches, int chunks = 1) {
  PipelineShape shape{.stages = stages, .micro_batches = micro_batches, .chunks = chunks};
  const size_t n = static_cast<size_t>(stages) * static_cast<size_t>(chunks);
  shape.forward = shape.backward = shape.weight = std::vector<Time>(n, Time{1000});
  return shape;
}

// `pieces` of the model. Pairs of all virtual stages are alike.
TrainingSchedule Build(const char* name, const PipelineShape& shape,
                       const std::vector<StageBlocks>& pieces, const StepShape& step) {
  const PipelineSchedule& schedule = *FindPipelineSchedule(name);
  EXPECT_EQ(RejectPipeline(schedule, shape), "");
  const std::vector<int32_t> pair_of(schedule.pairs ? shape.virtual_stages() : 0, 0);
  return BuildStepSchedule(schedule, shape, schedule.build(shape),
                           LayoutOf(PieceMap(schedule, shape), pieces), pair_of, step, 4);
}

// What each program takes where the blocks take these times, by number.
std::vector<Time> PicosecondsOf(const TrainingSchedule& schedule,
                                const std::map<int32_t, int64_t>& ps) {
  std::vector<Time> durations;
  for (const Program& program : schedule.programs) {
    Time sum{};
    for (const ProgramStep& step : program)
      if (const auto block = ps.find(step.block); block != ps.end())
        sum += Time{block->second * step.times};
    durations.push_back(sum);
  }
  return durations;
}

// Two stages: embedding and a layer; a layer and the head. One time a block, in units of 1 ps:
//   forward   embedding 1, layer 3, head 2        backward  embedding 1, layer 6, head 4
//   reduce    embedding 2, layer 3, head 2        gather    embedding 1, layer 2, head 1
//   norm 1, optimizer 2, transfer 1
const std::vector<StageBlocks> kTwoStages = {{{BlockKind::kEmbedding, 1}, {BlockKind::kDense, 1}},
                                             {{BlockKind::kDense, 1}, {BlockKind::kHead, 1}}};

Timing TimeTwoStages(const StepShape& step) {
  const TrainingSchedule s = Build("1f1b", ShapeOf(2, 2), kTwoStages, step);
  std::map<int32_t, int64_t> ps;
  const BlockKind kinds[] = {BlockKind::kEmbedding, BlockKind::kDense, BlockKind::kHead};
  const int64_t forward[] = {1, 3, 2};
  const int64_t backward[] = {1, 6, 4};
  const int64_t reduce[] = {2, 3, 2};
  const int64_t gather[] = {1, 2, 1};
  for (int i = 0; i < 3; ++i) {
    ps[BlockIds::Of(kinds[i], Pass::kForward)] = forward[i];
    ps[BlockIds::Of(kinds[i], Pass::kBackward)] = backward[i] - 1;
    ps[BlockIds::Of(kinds[i], Pass::kWeight)] = 1;
    ps[BlockIds::GradReduce(kinds[i], 0)] = reduce[i];
    ps[BlockIds::ParamGather(kinds[i], 0)] = gather[i];
  }
  for (int stage = 0; stage < 2; ++stage) {
    ps[BlockIds::GradNorm(stage)] = 1;
    ps[BlockIds::Optimizer(stage)] = 2;
  }
  const Time transfer[] = {Time{1}};
  Timing timing;
  Retimer(s).Run(PicosecondsOf(s, ps), transfer, timing);
  return timing;
}

// Stage 0: weights of the embedding are there at 1, of its layer at 3; F0 1-2 and 3-6, F1 6-10.
// Stage 1: F0 from 6 + 1: 7-10, 10-12; B0 12-22; F1 22-27; B1 head 27-31, layer 31-37; reduced
// 31-33 and 37-40. Stage 0: B0 23-30; B1 from 37 + 1: layer 38-44, embedding 44-45; reduced 44-47,
// 47-49; norm 49-50; all step 50-52.
TEST(StepScheduleTest, HandTimedWithOverlap) {
  const Timing t = TimeTwoStages({});
  EXPECT_EQ(t.total, Time{52});
  // Compute lanes: stage 0 has F0 in two parts, F1, B0, B1 in two parts, norm, optimizer; stage 1
  // likewise.
  const std::vector<int64_t> starts = {1,  3,  6,  23, 38, 44, 49, 50, 7, 10, 12, 22,
                                       27, 31, 40, 50, 0,  1,  44, 47, 0, 2,  31, 37};
  ASSERT_EQ(t.start.size(), starts.size());
  for (size_t i = 0; i < starts.size(); ++i) EXPECT_EQ(t.start[i].ps, starts[i]) << i;
}

TEST(StepScheduleTest, WithoutABarrierAStageStepsAfterItsOwnNorm) {
  const Timing t = TimeTwoStages({.norm_is_barrier = false});
  EXPECT_EQ(t.total, Time{52});
  EXPECT_EQ(t.start[15], Time{41});  // stage 1's optimizer, after its norm 40-41
}

// All weights first: stage 0 from 3, stage 1 has them by then. F0 3-7, F1 7-11; stage 1: F0 8-13,
// B0 13-23, F1 23-28, B1 28-38; stage 0: B0 24-31, B1 39-46; then all its gradients 46-51, norm
// 51-52, optimizer 52-54.
TEST(StepScheduleTest, HandTimedWithoutOverlap) {
  const Timing t = TimeTwoStages({.overlap_reduce = false, .overlap_gather = false});
  EXPECT_EQ(t.total, Time{54});
  const std::vector<int64_t> starts = {3,  7,  24, 39, 51, 52, 8, 13, 23, 28,
                                       43, 52, 0,  1,  46, 49, 0, 2,  38, 40};
  ASSERT_EQ(t.start.size(), starts.size());
  for (size_t i = 0; i < starts.size(); ++i) EXPECT_EQ(t.start[i].ps, starts[i]) << i;
}

// One stage of an embedding and a MoE layer, one micro-batch. Weights: dp 0-1, 1-3; edp 0-4. F 1-2
// and, with the experts' weights, 4-7; B of the layer 7-13, of the embedding 13-14. Gradients: dp
// 13-16, 16-18; edp 13-20 beside them. Norm 20-21, optimizer 21-23.
TEST(StepScheduleTest, ExpertsMoveOnACommunicatorOfTheirOwn) {
  StepShape step;
  step.experts[static_cast<size_t>(BlockKind::kMoe)] = true;
  const TrainingSchedule s =
      Build("1f1b", ShapeOf(1, 1), {{{BlockKind::kEmbedding, 1}, {BlockKind::kMoe, 1}}}, step);
  std::map<int32_t, int64_t> ps;
  const BlockKind kinds[] = {BlockKind::kEmbedding, BlockKind::kMoe};
  for (int i = 0; i < 2; ++i) {
    ps[BlockIds::Of(kinds[i], Pass::kForward)] = i == 0 ? 1 : 3;
    ps[BlockIds::Of(kinds[i], Pass::kBackward)] = i == 0 ? 1 : 6;
    ps[BlockIds::ParamGather(kinds[i], 0)] = i == 0 ? 1 : 2;
    ps[BlockIds::GradReduce(kinds[i], 0)] = i == 0 ? 2 : 3;
  }
  ps[BlockIds::ParamGather(BlockKind::kMoe, 1)] = 4;
  ps[BlockIds::GradReduce(BlockKind::kMoe, 1)] = 7;
  ps[BlockIds::GradNorm(0)] = 1;
  ps[BlockIds::Optimizer(0)] = 2;
  Timing timing;
  Retimer(s).Run(PicosecondsOf(s, ps), std::vector<Time>{Time{1}}, timing);
  // The compute lane, dp's gathers and reductions, edp's.
  const std::vector<int64_t> starts = {1, 4, 7, 13, 20, 21, 0, 1, 13, 16, 0, 13};
  ASSERT_EQ(timing.start.size(), starts.size());
  for (size_t i = 0; i < starts.size(); ++i) EXPECT_EQ(timing.start[i].ps, starts[i]) << i;
}

// One rank: forwards and backwards end at 45 - 1 (no embedding to wait for), then the optimizer.
TEST(StepScheduleTest, WithoutDataParallelismOnlyTheOptimizerIsAdded) {
  const Timing t = TimeTwoStages({.reduces = false, .gathers = false, .norm = false});
  // F0 0-4, F1 4-8; stage 1: F0 5-10, B0 10-20, F1 20-25, B1 25-35; stage 0: B0 21-28, B1 36-43;
  // optimizer 43-45.
  EXPECT_EQ(t.total, Time{45});
  EXPECT_EQ(t.start.size(), 10u);
}

struct ScheduleCase {
  const char* schedule;
  int stages, micro_batches, chunks;
  StepShape step;
};

std::vector<StageBlocks> AnyBlocks(int virtual_stages, Random& random) {
  std::vector<StageBlocks> blocks;
  for (int v = 0; v < virtual_stages; ++v) {
    StageBlocks b;
    if (v == 0) b.push_back({BlockKind::kEmbedding, 1});
    if (const int n = static_cast<int>(random.Below(3)); n > 0) b.push_back({BlockKind::kDense, n});
    if (const int n = static_cast<int>(random.Below(3)); n > 0) b.push_back({BlockKind::kMoe, n});
    if (v == virtual_stages - 1) b.push_back({BlockKind::kHead, 1});
    blocks.push_back(std::move(b));  // in the middle perhaps empty
  }
  return blocks;
}
int BlocksIn(const StageBlocks& blocks) {
  int n = 0;
  for (const BlockRun& run : blocks) n += run.count;
  return n;
}
// Of those whose weights or gradients move on a lane.
int BlocksOn(const Lane& lane, const StageBlocks& blocks) {
  int n = 0;
  for (const BlockRun& run : blocks)
    n += lane.stream == Stream::kData || run.kind == BlockKind::kMoe ? run.count : 0;
  return n;
}
// visit(number of the lane) for those of data parallelism.
template <class Visit>
void EachDataLane(const TrainingSchedule& s, Visit visit) {
  for (size_t lane = 0; lane < s.lanes.size(); ++lane)
    if (s.lanes[lane].stream != Stream::kCompute) visit(lane);
}

template <class Visit>
void EachCase(Visit visit) {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    const char* const names[] = {"1f1b", "zb-h1", "interleaved"};
    const char* name = names[round % 3];
    const int stages = 1 + static_cast<int>(random.Below(4)),
              chunks = round % 3 == 2 ? 1 + static_cast<int>(random.Below(3)) : 1;
    const int micro_batches = round % 3 == 2 ? stages * (1 + static_cast<int>(random.Below(3)))
                                             : 1 + static_cast<int>(random.Below(6));
    const auto flag = [&] { return random.Below(2) == 0; };
    ScheduleCase c{
        name, stages, micro_batches, chunks, {flag(), flag(), flag(), flag(), flag(), flag()}};
    c.step.experts[static_cast<size_t>(BlockKind::kMoe)] = flag();
    const auto shape = ShapeOf(stages, micro_batches, chunks);
    const auto blocks = AnyBlocks(stages * chunks, random);
    const TrainingSchedule s = Build(name, shape, blocks, c.step);
    Timing timing;
    std::vector<Time> d(s.programs.size());
    for (Time& t : d) t = Time{1 + static_cast<int64_t>(random.Below(50))};
    const Time transfer[] = {Time{3}};
    Retimer(s).Run(d, transfer, timing);
    SCOPED_TRACE(std::string(name) + " " + std::to_string(stages) + " x " + std::to_string(chunks) +
                 " x " + std::to_string(micro_batches) + ", round " + std::to_string(round));
    visit(c, blocks, s, timing);
  }
}

int VirtualStage(const ScheduleCase& c, const TrainingSchedule& s, int32_t task) {
  const int stage = s.lanes[static_cast<size_t>(s.LaneOf(task))].rank;
  return FindPipelineSchedule(c.schedule)
      ->virtual_stage(ShapeOf(c.stages, c.micro_batches, c.chunks), stage,
                      s.tasks[static_cast<size_t>(task)].chunk);
}

TEST(StepScheduleTest, LanesAreEveryStagesComputeThenThoseOfEachCommunicator) {
  EachCase([](const ScheduleCase& c, const auto&, const TrainingSchedule& s, const Timing&) {
    const bool experts = c.step.experts[static_cast<size_t>(BlockKind::kMoe)];
    ASSERT_EQ(s.lanes.size(), (experts ? 3u : 2u) * static_cast<size_t>(c.stages));
    constexpr Stream kOf[] = {Stream::kCompute, Stream::kData, Stream::kExpertData};
    for (size_t l = 0; l < s.lanes.size(); ++l) {
      EXPECT_EQ(s.lanes[l].rank, static_cast<int>(l) % c.stages);
      EXPECT_EQ(s.lanes[l].stream, kOf[l / static_cast<size_t>(c.stages)]);
      EXPECT_EQ(s.lanes[l].stands_for, 4);
    }
  });
}

TEST(StepScheduleTest, EveryPipelineTaskIsThereOnceWholeOrByItsBlocks) {
  EachCase([](const ScheduleCase& c, const auto& blocks, const TrainingSchedule& s, const Timing&) {
    std::map<std::tuple<int, Phase, int>, std::vector<int>>
        parts;  // virtual stage, phase, micro-batch
    for (int32_t i = 0; i < s.lane_begin[static_cast<size_t>(c.stages)]; ++i) {
      const Task& t = s.tasks[static_cast<size_t>(i)];
      if (OfPipeline(t.phase))
        parts[{VirtualStage(c, s, i), t.phase, t.micro_batch}].push_back(t.part);
    }
    const size_t phases = std::string(c.schedule) == "zb-h1" ? 3 : 2;
    ASSERT_EQ(parts.size(), static_cast<size_t>(c.stages * c.chunks * c.micro_batches) * phases);
    for (const auto& [key, list] : parts) {
      if (list == std::vector<int>{-1}) continue;
      const int n = BlocksIn(blocks[static_cast<size_t>(std::get<0>(key))]);
      ASSERT_EQ(list.size(), static_cast<size_t>(n));
      const bool forward = std::get<1>(key) == Phase::kForward;
      for (int i = 0; i < n; ++i) EXPECT_EQ(list[static_cast<size_t>(i)], forward ? i : n - 1 - i);
    }
  });
}

TEST(StepScheduleTest, WeightsAreGatheredOncePerBlockAndBeforeTheirFirstUse) {
  EachCase([](const ScheduleCase& c, const auto& blocks, const TrainingSchedule& s,
              const Timing& timing) {
    EachDataLane(s, [&](size_t lane) {
      const int stage = s.lanes[lane].rank;
      Time gathered{};
      int count = 0, expected = 0;
      for (int32_t i = s.lane_begin[lane]; i < s.lane_begin[lane + 1]; ++i) {
        if (s.tasks[static_cast<size_t>(i)].phase != Phase::kParamGather) continue;
        ++count;
        gathered = timing.end[static_cast<size_t>(i)];
      }
      for (int chunk = 0; chunk < c.chunks; ++chunk)
        expected += BlocksOn(s.lanes[lane], blocks[static_cast<size_t>(chunk * c.stages + stage)]);
      EXPECT_EQ(count, c.step.gathers ? expected : 0);
      // The last block's weights are used by the first forward's last part at the earliest.
      for (int32_t i = s.lane_begin[static_cast<size_t>(stage)];
           i < s.lane_begin[static_cast<size_t>(stage) + 1]; ++i) {
        const Task& t = s.tasks[static_cast<size_t>(i)];
        if (OfPipeline(t.phase) && DoesBackward(t.phase) && c.chunks == 1) {
          EXPECT_GE(timing.start[static_cast<size_t>(i)], gathered);
        }
        if (c.step.gathers && !c.step.overlap_gather) {
          EXPECT_GE(timing.start[static_cast<size_t>(i)], gathered);
        }
      }
    });
  });
}

TEST(StepScheduleTest, GradientsAreReducedOncePerBlockAfterTheyAreCompleteAndBeforeTheNorm) {
  EachCase([](const ScheduleCase& c, const auto& blocks, const TrainingSchedule& s,
              const Timing& timing) {
    const Phase last_phase =
        std::string(c.schedule) == "zb-h1" ? Phase::kWeight : Phase::kFullBackward;
    EachDataLane(s, [&](size_t lane) {
      const int stage = s.lanes[lane].rank;
      // End of the last gradient of each block: by virtual stage and part (-1: all).
      std::map<std::pair<int, int>, Time> complete;
      Time after_all{};
      const size_t compute = static_cast<size_t>(stage);
      for (int32_t i = s.lane_begin[compute]; i < s.lane_begin[compute + 1]; ++i) {
        const Task& t = s.tasks[static_cast<size_t>(i)];
        if (t.phase == last_phase)
          complete[{VirtualStage(c, s, i), t.part}] = timing.end[static_cast<size_t>(i)];
        if (t.phase == Phase::kGradNorm || t.phase == Phase::kOptimizer) {
          after_all = timing.start[static_cast<size_t>(i)];
          break;
        }
      }
      int count = 0, expected = 0;
      Time first = kNever, last{};
      for (int32_t i = s.lane_begin[lane]; i < s.lane_begin[lane + 1]; ++i) {
        if (s.tasks[static_cast<size_t>(i)].phase != Phase::kGradReduce) continue;
        ++count;
        first = std::min(first, timing.start[static_cast<size_t>(i)]);
        last = timing.end[static_cast<size_t>(i)];
        for (int32_t e = s.dependency_begin[static_cast<size_t>(i)];
             e < s.dependency_begin[static_cast<size_t>(i) + 1]; ++e) {
          const Task& on =
              s.tasks[static_cast<size_t>(s.dependencies[static_cast<size_t>(e)].task)];
          EXPECT_EQ(on.phase, last_phase);
          if (c.step.overlap_reduce) {
            EXPECT_EQ(on.part, s.tasks[static_cast<size_t>(i)].part);
          }
        }
      }
      for (int chunk = 0; chunk < c.chunks; ++chunk)
        expected += BlocksOn(s.lanes[lane], blocks[static_cast<size_t>(chunk * c.stages + stage)]);
      EXPECT_EQ(count, c.step.reduces ? expected : 0);
      EXPECT_LE(last, after_all);
      if (count == 0 || c.step.overlap_reduce) return;
      for (const auto& [block, end] : complete) EXPECT_GE(first, end);
    });
  });
}

// Two copies of a model of two pieces, one layer each: stage 0 holds piece 0 of copy 0 and piece 1
// of copy 1, stage 1 the others.
TEST(StepScheduleTest, GradientsOfAPieceAreReducedWhenAllItsCopiesHaveThem) {
  PipelineShape shape = ShapeOf(2, 4);
  shape.copies = 2;
  shape.forward.assign(4, Time{2});
  shape.backward = shape.weight = shape.forward;
  for (const bool overlap : {true, false}) {
    const TrainingSchedule s =
        Build("dualpipe", shape, std::vector<StageBlocks>(2, {{BlockKind::kDense, 1}}),
              {.overlap_reduce = overlap});
    int reductions = 0;
    for (size_t i = 0; i < s.tasks.size(); ++i) {
      if (s.tasks[i].phase != Phase::kGradReduce) continue;
      ++reductions;
      std::set<int> stages;
      for (int32_t d = s.dependency_begin[i]; d < s.dependency_begin[i + 1]; ++d) {
        const int32_t on = s.dependencies[static_cast<size_t>(d)].task;
        EXPECT_TRUE(DoesWeight(s.tasks[static_cast<size_t>(on)].phase));
        stages.insert(s.lanes[static_cast<size_t>(s.LaneOf(on))].rank);
      }
      EXPECT_EQ(stages, (std::set<int>{0, 1}));
    }
    EXPECT_EQ(reductions, 4);
  }
}

TEST(StepScheduleTest, WithABarrierNoOptimizerStartsBeforeTheLastNormEnds) {
  EachCase([](const ScheduleCase& c, const auto&, const TrainingSchedule& s, const Timing& timing) {
    Time norms{};
    int norm_count = 0, optimizers = 0;
    for (size_t i = 0; i < s.tasks.size(); ++i) {
      if (s.tasks[i].phase != Phase::kGradNorm) continue;
      norms = std::max(norms, timing.end[i]);
      ++norm_count;
    }
    for (size_t i = 0; i < s.tasks.size(); ++i) {
      if (s.tasks[i].phase != Phase::kOptimizer) continue;
      ++optimizers;
      if (c.step.norm_is_barrier) {
        EXPECT_GE(timing.start[i], norms);
      }
    }
    EXPECT_EQ(norm_count, c.step.norm ? c.stages : 0);
    EXPECT_EQ(optimizers, c.stages);
  });
}

}  // namespace
}  // namespace moecast
