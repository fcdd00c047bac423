#include "scenarios/claims/claim_table.h"

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "scenarios/claims/memory_claims.h"
#include "scenarios/claims/pipeline_claims.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

TEST(ClaimTableTest, ARowGivesItsCellsAsWhatTheyAre) {
  const Measurements table("name,n,x,size,time,dtype,fitted\na,7,0.5,16MiB,3us,fp8,yes\n", "t.csv");
  const ClaimRow row(table, 0);
  EXPECT_EQ(row.Text("name"), "a");
  EXPECT_EQ(row.Whole("n"), 7);
  EXPECT_EQ(row.Number("x", 0, 1), 0.5);
  EXPECT_EQ(row.Size("size"), MiB(16));
  EXPECT_EQ(row.Duration("time"), Microseconds(3));
  EXPECT_EQ(row.Name<Dtype>("dtype"), Dtype::kFp8);
  EXPECT_TRUE(row.IsYes("fitted"));
}

TEST(ClaimTableTest, ABrokenCellIsNamedByFileLineAndColumn) {
  const Measurements table("n,size,dtype\n1,16MiB,fp8\n0,16,fp9\n", "t.csv");
  const ClaimRow row(table, 1);
  EXPECT_EQ(MessageOf([&] { row.Whole("n"); }),
            "t.csv: line 3, column \"n\": found \"0\", expected a number from 1 to 1.04858e+06");
  EXPECT_EQ(MessageOf([&] { row.Size("size"); }),
            "t.csv: line 3, column \"size\": found \"16\", expected a size with a unit");
  EXPECT_EQ(
      MessageOf([&] { row.Name<Dtype>("dtype"); }),
      "t.csv: line 3, column \"dtype\": found \"fp9\", expected one of fp32, bf16, fp8, fp8_block");
  EXPECT_NE(MessageOf([&] { row.Text("dtyp"); }).find("did you mean \"dtype\"?"),
            std::string::npos);
}

// 4 layers over 2 stages of 2: the last stage has a peak of its own; one stage has one.
TEST(ClaimTableTest, APeakOfEachEndOfThePipelineIsAClaim) {
  int first = 0, last = 0;
  for (const MemoryClaim& c : LoadMemoryClaims()) {
    EXPECT_EQ(c.stage == 0, c.name.find(", last stage") == std::string::npos) << c.name;
    EXPECT_EQ(c.run.plan.parallel.pp == 1, c.name.find(" stage") == std::string::npos) << c.name;
    (c.stage == 0 ? first : last) += c.run.plan.parallel.pp > 1;
  }
  EXPECT_EQ(first, last);
  EXPECT_GT(last, 0);
}

TEST(ClaimTableTest, TheTimesOfAStageAreSpreadEvenlyOverItsChunks) {
  for (const PipelineClaim& c : LoadPipelineClaims()) {
    EXPECT_EQ(c.shape.forward.size(), static_cast<size_t>(c.shape.stages * c.shape.chunks))
        << c.name;
    for (const Time t : c.shape.forward) EXPECT_EQ(t, c.shape.forward.front());
  }
}

}  // namespace
}  // namespace moecast
