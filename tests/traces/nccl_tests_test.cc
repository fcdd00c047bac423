#include "traces/nccl_tests.h"

#include <gtest/gtest.h>

#include "tests/message_of.h"

namespace moecast {
namespace {

// As nccl-tests 2.17 prints it; 4 ranks on two hosts.
constexpr char kNew[] = R"(# nccl-tests version 2.17.1 nccl-headers=22707 nccl-library=22707
# Collective test starting: all_reduce_perf
# nThread 1 nGpus 1 minBytes 1048576 maxBytes 4194304 step: 2(factor) warmup iters: 1 iters: 20 agg iters: 1 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid 310000 on     node-a device  0 [0000:1b:00] NVIDIA H100 80GB HBM3
#  Rank  1 Group  0 Pid 310001 on     node-a device  1 [0000:43:00] NVIDIA H100 80GB HBM3
#  Rank  2 Group  0 Pid 310002 on     node-b device  0 [0000:1b:00] NVIDIA H100 80GB HBM3
#  Rank  3 Group  0 Pid 310003 on     node-b device  1 [0000:43:00] NVIDIA H100 80GB HBM3
NCCL version 2.27.7+cuda12.9
10-0-0-1:310:318 [0] NCCL INFO Bootstrap
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
           0             0     float     sum      -1     4.30    0.00    0.00      0     4.20    0.00    0.00      0
     1048576        262144     float     sum      -1    25.40   41.28   61.92      0    25.71   40.78   61.17      0
     2097152        524288     float     sum      -1    38.18   54.93   82.39      0    38.02   55.16   82.74    N/A
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 72.06
#
# Collective test concluded: all_reduce_perf
)";

// As nccl-tests 2.0 printed it: no root, the error in place of wrong values, the collective only in
// the name.
constexpr char kOld[] =
    R"(# nThread 1 nGpus 2 minBytes 1024 maxBytes 1024 step: 2(factor) warmup iters: 5 iters: 20 validation: 1
#
# Using devices
#   Rank  0 Pid   4242 on     dgx-1 device  0 [0x06] Tesla V100-SXM2-16GB
#   Rank  1 Pid   4242 on     dgx-1 device  1 [0x07] Tesla V100-SXM2-16GB
#
#                                             out-of-place                    in-place
#       size         count    type     time   algbw   busbw  error     time   algbw   busbw  error
#        (B)    (elements)             (us)  (GB/s)  (GB/s)           (us)  (GB/s)  (GB/s)
        1024           128   float    12.50    0.08    0.04  0e+00    12.40    0.08    0.04  0e+00
)";

TEST(NcclTestsTest, ReadsRanksHostsAndTimes) {
  const NcclTest t = ParseNcclTest(kNew, "run.txt");
  EXPECT_EQ(t.collective, "all_reduce");
  EXPECT_EQ(t.rank_hosts, (std::vector<std::string>{"node-a", "node-a", "node-b", "node-b"}));
  ASSERT_EQ(t.rows.size(), 2u);  // a test over nothing is none
  EXPECT_EQ(t.rows[0].line, 17);
  EXPECT_EQ(t.rows[0].bytes, 1048576);
  EXPECT_EQ(t.rows[0].type, "float");
  EXPECT_DOUBLE_EQ(t.rows[0].out_of_place.value, 25.40e-6);
  EXPECT_DOUBLE_EQ(t.rows[0].in_place->value, 25.71e-6);
  EXPECT_DOUBLE_EQ(t.rows[1].in_place->value, 38.02e-6);
}

TEST(NcclTestsTest, OfOlderVersionsTheFilesNameSaysWhatRan) {
  const NcclTest t = ParseNcclTest(kOld, "all_gather_perf_2.log");
  EXPECT_EQ(t.collective, "all_gather");
  ASSERT_EQ(t.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(t.rows[0].out_of_place.value, 12.50e-6);
  EXPECT_EQ(ParseNcclTest(kOld, "reduce_scatter.txt").collective, "reduce_scatter");
  EXPECT_EQ(ParseNcclTest(kOld, "all_reduce.txt").collective, "all_reduce");
  EXPECT_EQ(ParseNcclTest(kOld, "reduce.txt").collective, "reduce");
}

TEST(NcclTestsTest, AnInPlaceTimeMayBeMissing) {
  std::string text = kOld;
  text.replace(text.find("12.40"), 5, "  N/A");
  EXPECT_FALSE(ParseNcclTest(text, "alltoall.txt").rows[0].in_place);
}

TEST(NcclTestsTest, LinesMayEndWithCarriageReturns) {
  std::string text;
  for (const char c : std::string(kNew)) text += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(ParseNcclTest(text, "run.txt").rows.size(), 2u);
}

TEST(NcclTestsTest, IsToldFromOtherText) {
  EXPECT_TRUE(LooksLikeNcclTest(kNew));
  EXPECT_TRUE(LooksLikeNcclTest(kOld));
  EXPECT_FALSE(LooksLikeNcclTest(""));
  EXPECT_FALSE(LooksLikeNcclTest("# size matters\n"));
  EXPECT_FALSE(LooksLikeNcclTest("size,count,type,time\n"));
}

struct Bad {
  const char *from, *to, *message;
};

TEST(NcclTestsTest, BrokenTextIsAnErrorThatNamesItsLine) {
  const Bad cases[] = {
      {"25.40   41.28", "25.4x   41.28",
       "line 17: found \"25.4x\" as time, expected a number from 0"},
      {"25.40   41.28", "-1.00   41.28", "line 17: found \"-1.00\" as time"},
      {"25.40   41.28", " 0.00   41.28",
       "line 17: found \"0.00\" as time, expected more than nothing"},
      {"25.40   41.28", "  nan   41.28", "line 17: found \"nan\" as time"},
      {"25.40   41.28", "        41.28",
       "line 17: found 12 fields, expected 13 as there are columns"},
      {"61.92      0", "61.92      3",
       "line 17: found 3 wrong values, expected a test whose results were right"},
      {"     1048576        2", "     1048576.5      2",
       "line 17: found \"1048576.5\" as size, expected whole"},
      {"     1048576        2", "     1e99           2", "line 17: found \"1e99\" as size"},
      {"Rank  1 Group", "Rank  2 Group", "line 7: found rank 2, expected rank 1"},
      {"310003 on     node-b", "310003", "line 9: found 3, expected \"Rank N ... on HOST device\""},
      {"starting: all_reduce_perf", "starting: all_produce_perf",
       "line 2: found \"all_produce\", expected one of all_reduce, all_gather"},
      {"#       size         count      type   redop",
       "#       siz          count      type   redop",
       "line 16: found a row before the line of columns"},
      {"count      type ", "count      tipe ", "line 14: found columns without a type"},
  };
  for (const Bad& bad : cases) {
    std::string text = kNew;
    const size_t at = text.find(bad.from);
    ASSERT_NE(at, text.npos) << bad.from;
    text.replace(at, std::string(bad.from).size(), bad.to);
    const std::string message = MessageOf([&] { ParseNcclTest(text, "run.txt"); });
    EXPECT_EQ(message.find(std::string("run.txt: ") + bad.message), 0u) << message;
  }
}

TEST(NcclTestsTest, TextThatEndsEarlyIsAnError) {
  const auto of_first = [&](const char* until) {
    const std::string text = kNew;
    return MessageOf([&] { ParseNcclTest(text.substr(0, text.find(until)), "run.txt"); });
  };
  EXPECT_EQ(
      of_first("# nccl-tests").find("run.txt: found no line of columns, expected nccl-tests'"), 0u);
  EXPECT_EQ(of_first("           0             0"),
            "run.txt: found no row of times, expected at least one");
  EXPECT_EQ(of_first("    float     sum      -1    38").find("run.txt: line 18: found 2 fields"),
            0u);
  std::string no_ranks = kNew;
  for (size_t at; (at = no_ranks.find("#  Rank")) != no_ranks.npos;)
    no_ranks.replace(at, 7, "#      ");
  EXPECT_EQ(MessageOf([&] { ParseNcclTest(no_ranks, "run.txt"); }),
            "run.txt: found 0 lines \"#  Rank N ... on HOST device\", expected one for each of two "
            "ranks or more");
  EXPECT_EQ(MessageOf([&] { ParseNcclTest(kOld, "run.txt"); }),
            "run.txt: found no collective, neither in the text nor in the file's name, expected a "
            "file named after "
            "its test, such as all_reduce_perf.txt");
  EXPECT_EQ(
      MessageOf([&] { ParseNcclTest(std::string(kNew) + kOld, "run.txt"); }).find("run.txt: line "),
      0u);
}

}  // namespace
}  // namespace moecast
