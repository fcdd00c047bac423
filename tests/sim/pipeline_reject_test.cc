// What no schedule takes, and what is no order.
#include <gtest/gtest.h>

#include "sim/pipeline/pipeline.h"
#include "tests/sim/solve_pipeline.h"

namespace moecast {
namespace {

TEST(PipelineRejectTest, ShapesThatCannotBeScheduledSayWhatWasExpected) {
  const PipelineSchedule& row = Named("1f1b");
  const PipelineShape good = Uniform(4, 8, 1, 1, 1);
  ASSERT_EQ(RejectPipeline(row, good), "");
  const auto rejects = [&](auto change) {
    PipelineShape shape = good;
    change(shape);
    return RejectPipeline(row, shape);
  };
  EXPECT_EQ(rejects([](PipelineShape& s) { s.micro_batches = 0; }),
            "at least 1 stage, 1 micro-batch and 1 chunk");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.chunks = 2; }),
            "1 chunk a stage (vpp) with schedule 1f1b");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.micro_batches = 2'000'000'000; }),
            "at most 1000000 stages * micro-batches * chunks");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.stages = 2'000'000'000; }), "at most 10000 stages");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.weight.pop_back(); }),
            "as many forward, backward and weight times as virtual stages (4)");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.backward[2] = Time{-1}; }), "no negative time");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.transfer = Time{-1}; }), "no negative transfer time");
  EXPECT_NE(rejects([](PipelineShape& s) { s.forward[0] = Time::From(Seconds(9e6)); }), "");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.memory_limit = 3; }),
            "a memory limit of at least 4 micro-batches, which this schedule holds alive");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.kept_for_weight = -1; }),
            "0 to 1000 of a micro-batch's memory kept for its weight gradients");
  EXPECT_EQ(RejectPipeline(Named("v-half"), good), "2 chunks a stage (vpp) with schedule v-half");
  EXPECT_EQ(RejectPipeline(Named("v-half"), Uniform(1001, 2, 2, 2, 2, 2)),
            "at most 1000 stages in V placement");
  EXPECT_EQ(RejectPipeline(Named("dualpipe"), Uniform(3, 8, 1, 1, 1, 1, 0, 2)),
            "an even number of stages with schedule dualpipe");
  for (const int m : {6, 9})
    EXPECT_EQ(RejectPipeline(Named("dualpipe"), Uniform(4, m, 1, 1, 1, 1, 0, 2)),
              "an even number of micro-batches, at least 8, twice the stages");
  EXPECT_EQ(RejectPipeline(Named("dualpipev"), Uniform(4, 7, 2, 2, 2, 2)),
            "at least 8 micro-batches, twice the stages");
  EXPECT_EQ(rejects([](PipelineShape& s) { s.pair.assign(4, Time{1}); }),
            "no time of an overlapped pair with schedule 1f1b, which runs no forward together with "
            "a backward");
  PipelineShape pairs = Uniform(2, 4, 1, 1, 1, 1, 0, 2);
  pairs.pair.assign(3, Time{1});
  EXPECT_EQ(RejectPipeline(Named("dualpipe"), pairs),
            "as many times of pairs as virtual stages (4)");
  pairs.pair.assign(4, Time{-1});
  EXPECT_EQ(RejectPipeline(Named("dualpipe"), pairs), "no negative time");
  PipelineShape tight = good;
  tight.memory_limit = 1;
  EXPECT_EQ(RejectPipeline(Named("zb-1p"), tight), "");
  tight.kept_for_weight = 1.5;
  EXPECT_EQ(RejectPipeline(Named("zb-1p"), tight),
            "a memory limit of at least 1.5 micro-batches, which one holds alive");
}

TEST(PipelineLowerDeathTest, AnOrderThatIsNotOneOfTheShapeAborts) {
  const PipelineSchedule& row = Named("1f1b");
  const PipelineShape shape = Uniform(2, 2, 1, 1, 1);
  const auto lower = [&](auto change) {
    PipelineOrder order = row.build(shape);
    change(order.by_stage[0]);
    LowerPipeline(row, shape, order);
  };
  EXPECT_DEATH(lower([](auto& tasks) { tasks.pop_back(); }), "check failed");
  EXPECT_DEATH(lower([](auto& tasks) { tasks.push_back(tasks[0]); }), "check failed");
  EXPECT_DEATH(lower([](auto& tasks) { std::swap(tasks.front(), tasks.back()); }), "check failed");
}

}  // namespace
}  // namespace moecast
