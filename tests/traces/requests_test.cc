#include "traces/requests.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

constexpr int64_t kMs = 1'000'000'000;

RequestTrace Read(std::string_view text) {
  return ReadRequests(text, "f");
}

// What of a request a format may keep: arrival in ps, input, output.
std::vector<std::vector<int64_t>> Rows(const RequestTrace& trace) {
  std::vector<std::vector<int64_t>> rows;
  for (const Request& r : trace.requests)
    rows.push_back({r.arrival.ps, r.input_tokens, r.output_tokens});
  return rows;
}
using RowList = std::vector<std::vector<int64_t>>;

TEST(RequestsTest, AzureRowsAreTokensAndTicksOf100Nanoseconds) {
  const RequestTrace trace = Read(
      "TIMESTAMP,ContextTokens,GeneratedTokens\n"
      "2023-11-16 18:15:46.6805900,374,44\n"
      "2023-11-16 18:15:50.9951690,396,109\n"
      "2023-11-17 00:00:00.0000001,1,2");
  // 4.314579 s, and 5 h 44 min 13.3194101 s, after the first.
  EXPECT_EQ(
      Rows(trace),
      (RowList{{0, 374, 44}, {4'314'579 * 1'000'000LL, 396, 109}, {20'653'319'410'100'000, 1, 2}}));
  EXPECT_TRUE(trace.timed);
  EXPECT_EQ(trace.block_tokens, 0);
}

TEST(RequestsTest, AzureOfLaterYearsHasZonesAndLeapDays) {
  const RequestTrace trace = Read(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2024-02-28 23:59:59.5+00:00,1,1\r\n"
      "2024-02-29T01:00:00Z,2,2\r\n"
      "2024-03-01 01:00:00.25+01:00,3,3\r\n");
  EXPECT_EQ(Rows(trace), (RowList{{0, 1, 1}, {3'600'500 * kMs, 2, 2}, {86'400'750 * kMs, 3, 3}}));
}

TEST(RequestsTest, BurstGptLeavesOutWhatFailed) {
  const RequestTrace trace = Read(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
      "5,ChatGPT,472,18,490,Conversation log\n"
      "45,GPT-4,300,0,300,API log\n"
      "45.5,ChatGPT,1087,230,1317,Conversation log\n");
  EXPECT_EQ(Rows(trace), (RowList{{0, 472, 18}, {40'500 * kMs, 1087, 230}}));
  EXPECT_EQ(trace.left_out, 1);
}

TEST(RequestsTest, MooncakeHasHashesOfBlocksOf512Tokens) {
  const RequestTrace trace = Read(
      "{\"timestamp\": 0, \"input_length\": 1025, \"output_length\": 5, \"hash_ids\": [7, 8, 9]}\n"
      "\n"
      "{\"timestamp\": 3000, \"input_length\": 512, \"output_length\": 6, \"hash_ids\": [7]}\r\n"
      "{\"timestamp\": 3001, \"input_length\": 600, \"output_length\": 6, \"type\": \"x\"}");
  EXPECT_EQ(Rows(trace), (RowList{{0, 1025, 5}, {3000 * kMs, 512, 6}, {3001 * kMs, 600, 6}}));
  EXPECT_EQ(trace.block_tokens, 512);
  EXPECT_EQ(trace.hash_ids, (std::vector<uint64_t>{7, 8, 9, 7}));
  EXPECT_EQ(trace.BlocksOf(trace.requests[1]).size(), 1u);
  EXPECT_EQ(trace.BlocksOf(trace.requests[1])[0], 7u);
  EXPECT_EQ(trace.BlocksOf(trace.requests[2]).size(), 0u);
}

TEST(RequestsTest, ShareGptCountsThreeWordsAsFourTokensOfTheFirstTwoMessages) {
  const RequestTrace trace = Read(
      " [{\"id\": \"a\", \"conversations\": [{\"from\": \"human\", \"value\": \"one two\\nthree\"},"
      "  {\"from\": \"gpt\", \"value\": \"[ \\\"a, b\\\\\"}, {\"from\": \"human\", \"value\": "
      "\"more\"}]},\n"
      "{\"conversations\": [{\"from\": \"human\", \"value\": \"alone\"}]},\n"
      "{\"conversations\": [{\"tokens\": 17}, {\"tokens\": 3}]}\n]\n");
  EXPECT_EQ(Rows(trace), (RowList{{0, 4, 4}, {0, 17, 3}}));  // ceil(3 / 0.75), ceil(3 / 0.75)
  EXPECT_FALSE(trace.timed);
  EXPECT_EQ(trace.left_out, 1);
}

TEST(RequestsTest, VidurHasSecondsOrLengthsAlone) {
  EXPECT_EQ(Rows(Read("arrived_at,num_prefill_tokens,num_decode_tokens\n"
                      "0.1,3,4\n0.100000000001,5,6\n1e1,7,8\n")),
            (RowList{{0, 3, 4}, {1, 5, 6}, {9'900 * kMs, 7, 8}}));
  const RequestTrace lengths =
      Read("num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio\n3,4,7,0.75\n");
  EXPECT_EQ(Rows(lengths), (RowList{{0, 3, 4}}));
  EXPECT_FALSE(lengths.timed);
}

TEST(RequestsTest, EveryFaultNamesItsLineAndColumn) {
  const std::string azure = "TIMESTAMP,ContextTokens,GeneratedTokens\n",
                    row = "2023-11-16 18:15:46.68,374,44\n",
                    burst =
                        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n",
                    vidur = "arrived_at,num_prefill_tokens,num_decode_tokens\n",
                    mooncake = "{\"timestamp\": 5, \"input_length\": 6, \"output_length\": 7}\n";
  const std::pair<std::string, const char*> kFaults[] = {
      {"", "f: line 1, column 1: found \"\", expected a trace of requests: azure, a CSV with"},
      {"a,b\n1,2\n", "f: line 1, column 1: found \"a,b\", expected a trace of requests: azure"},
      {azure, "f: found no requests, expected at least one request"},
      {azure + "2023-11-16 18:15:46.68,0,44\n",
       "f: found 1 requests without a prompt or an answer and no others, expected at least one"},
      {"TIMESTAMP,ContextToken,GeneratedTokens\n" + row,
       "found no column \"ContextTokens\" among TIMESTAMP, ContextToken, GeneratedTokens, expected "
       "that "
       "column (did you mean \"ContextToken\"?)"},
      {azure + row + "2023-11-16 18:15:46.67,374,44\n",
       "f: line 3, column \"TIMESTAMP\": found \"2023-11-16 18:15:46.67\", expected no earlier "
       "time than the request before, 0 s after the first"},
      {azure + row + "2024-02-25 18:15:46,374,44\n",
       "line 3, column \"TIMESTAMP\": found \"2024-02-25 18:15:46\", expected a time within 100 "
       "days of the first"},
      {azure + "2023-02-29 18:15:46.67,374,44\n",
       "line 2, column \"TIMESTAMP\": found \"2023-02-29 18:15:46.67\", expected a time such as"},
      {azure + "2023-11-16 24:15:46.67,374,44\n", "line 2, column \"TIMESTAMP\""},
      {azure + "2023-11-16 18:15:60,374,44\n", "line 2, column \"TIMESTAMP\""},
      {azure + "2023-11-16 18:15:-1,374,44\n", "line 2, column \"TIMESTAMP\""},
      {azure + row + "2023-11-16 18:15:47,-374,44\n",
       "f: line 3, column \"ContextTokens\": found \"-374\", expected a number from 0 to 1e+08"},
      {azure + row + "2023-11-16 18:15:47,374,100000001\n",
       "f: line 3, column \"GeneratedTokens\": found \"100000001\", expected a number from 0 to"},
      {azure + "2023-11-16 18:15:47,many,44\n",
       "f: line 2, column \"ContextTokens\": found \"many\", expected a number"},
      {azure + "2023-11-16 18:15:47,1.5,44\n", "found \"1.5\", expected a whole number"},
      {azure + "2023-11-16 18:15:47,,44\n", "line 2, column \"ContextTokens\": found \"\""},
      {azure + "2023-11-16 18:15:47,374\n", "f: line 2: found 2 fields, expected 3 as in the"},
      {burst + "-5,m,1,2,3,l\n",
       "f: line 2, column \"Timestamp\": found \"-5\", expected a number of seconds from 0"},
      {burst + "5,m,1,nan,3,l\n", "f: line 2, column \"Response tokens\": found \"nan\""},
      {vidur + "2,1,1\n1.999,1,1\n",
       "f: line 3, column \"arrived_at\": found \"1.999\", expected no earlier time"},
      {vidur + "inf,1,1\n", "line 2, column \"arrived_at\": found \"inf\""},
      {vidur + "0,1,1\n8640001,1,1\n", "line 3, column \"arrived_at\": found \"8640001\""},
      {mooncake + "\n{\"timestamp\": 4, \"input_length\": 6, \"output_length\": 7}\n",
       "f: line 3, column 1, /timestamp: found 4, expected no earlier time"},
      {mooncake + "{\"timestamp\": 6, \"input_length\": 6}\n",
       "f: line 2, column 1, /: found an object, expected a value for \"output_length\" in it"},
      {mooncake + "{\"timestamp\": 6, \"input_length\": -6, \"output_length\": 7}\n",
       "f: line 2, column 1, /input_length: found -6, expected "},
      {mooncake + "{\"timestamp\": \"6\", \"input_length\": 6, \"output_length\": 7}\n",
       "f: line 2, column 1, /timestamp: found \"6\", expected a number"},
      {mooncake + "{\"timestamp\": 6, \"input_length\": 1e9, \"output_length\": 7}\n",
       "f: line 2, column 1, /input_length: found 1000000000"},
      {mooncake + "{\"timestamp\": 6, \"input_length\": 6; }\n", "f: line 2, column 35: "},
      {mooncake + "{\"timestamp\": 6, \"input_length\": 512, \"output_length\": 7, \"hash_ids\": "
                  "[1, 2]}\n",
       "/hash_ids: found a list of 2, expected at most 1 hashes, one for each 512 tokens of "
       "input_length"},
      {mooncake + "{\"timestamp\": 6, \"input_length\": 999, \"output_length\": 7, \"hash_ids\": "
                  "[1, -2]}\n",
       "f: line 2, column 1, /hash_ids/1: found -2, expected a whole number from 0"},
      {"[\n {\"id\": 1}]",
       "f: line 2, column 2, /: found an object, expected a value for \"conversations\" in it"},
      {"[{\"conversations\": [{\"from\": \"human\"}, {\"value\": \"\"}]}]",
       "f: line 1, column 2, /conversations/0: found an object, expected a value for \"value\""},
      {"[{\"conversations\": [{\"tokens\": -1}, {\"value\": \"\"}]}]",
       "f: line 1, column 2, /conversations/0/tokens: found -1"},
      {"[{\"conversations\": []},\n  {\"conversations\": [}]]", "f: line 2, column 22: "},
      {"[{\"conversations\": []}", "f: line 1, column 23: found the end of the file, expected a "},
      {"[{\"conversations\": []}] x", "f: line 1, column 25: found \"x\", expected the end of"},
      {"[]", "f: found no requests, expected at least one request"},
      {"[", "f: line 1, column 2"},
      {"[\"", "f: line 1, column "},
      {"[{\"conversations\": []},]", "f: line 1, column 24: found \"]\", expected a conversation"},
  };
  for (const auto& [text, message] : kFaults) {
    const std::string says = MessageOf([&, &text = text] { Read(text); });
    EXPECT_NE(says.find(message), std::string::npos) << text << "\nsays " << says;
  }
}

RequestTrace RandomTrace(Random& random, int64_t block_tokens) {
  RequestTrace trace{.file = "random", .block_tokens = block_tokens};
  Time now;
  for (int i = 0; i < 50; ++i) {
    const int64_t input = 1 + static_cast<int64_t>(random.Below(i % 7 == 0 ? 100'000'000 : 3000));
    const auto first = static_cast<uint32_t>(trace.hash_ids.size());
    if (block_tokens > 0 && input < 10000)
      for (int64_t at = 0; at < input; at += block_tokens)
        trace.hash_ids.push_back(random.Below(1000));
    trace.requests.push_back({now, input, 1 + static_cast<int64_t>(random.Below(500)), first,
                              static_cast<uint32_t>(trace.hash_ids.size() - first)});
    now += Time{static_cast<int64_t>(random.Below(i % 5 == 0 ? 1 : 200'000'000'000'000))};
  }
  return trace;
}

TEST(RequestsTest, WhatAFormatHoldsIsReadAgain) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    for (const RequestFormat* format : RequestFormats()) {
      const RequestTrace trace = RandomTrace(random, format->has_prefixes ? kMooncakeBlock : 0);
      const std::string text = WriteRequests(trace, *format);
      ASSERT_EQ(FormatOf(text), format) << format->name;
      const RequestTrace again = Read(text);
      ASSERT_EQ(again.requests.size(), trace.requests.size()) << format->name;
      EXPECT_EQ(again.hash_ids, trace.hash_ids) << format->name;
      EXPECT_EQ(again.block_tokens, trace.block_tokens) << format->name;
      EXPECT_EQ(again.timed, format->has_arrivals) << format->name;
      for (size_t i = 0; i < trace.requests.size(); ++i) {
        Request expected = trace.requests[i];
        const int64_t step = format->resolution.ps;
        expected.arrival.ps =
            format->has_arrivals ? (expected.arrival.ps + step / 2) / step * step : 0;
        EXPECT_EQ(again.requests[i], expected) << format->name << " " << i;
      }
      EXPECT_EQ(WriteRequests(again, *format), text) << format->name;
    }
  }
}

TEST(RequestsTest, HashesOfOtherBlocksCannotBeWritten) {
  Random random(1);
  const RequestTrace trace = RandomTrace(random, 16);
  EXPECT_EQ(MessageOf([&] { WriteRequests(trace, FormatNamed("mooncake")); }),
            "random: found hashes of 16 tokens, expected 512, as the format mooncake has it");
  EXPECT_NE(WriteRequests(trace, FormatNamed("azure")), "");  // where they are lost anyway
  EXPECT_EQ(MessageOf([] { FormatNamed("moncake"); }),
            "format: found \"moncake\", expected one of azure, burstgpt, mooncake, sharegpt, vidur "
            "(did you mean \"mooncake\"?)");
}

TEST(RequestsTest, ASliceKeepsItsRequestsAndTheirHashes) {
  const RequestTrace trace{.file = "t",
                           .requests = {{Time{10}, 1, 1, 0, 2},
                                        {Time{20}, 2, 2, 2, 1},
                                        {Time{20}, 3, 3, 3, 0},
                                        {Time{29}, 4, 4, 3, 2},
                                        {Time{30}, 5, 5, 5, 1}},
                           .hash_ids = {100, 101, 102, 103, 104, 105},
                           .block_tokens = 1};
  const RequestTrace cut = Sliced(trace, {.start = Time{20}, .duration = Time{10}});
  EXPECT_EQ(Rows(cut), (RowList{{0, 2, 2}, {0, 3, 3}, {9, 4, 4}}));
  EXPECT_EQ(cut.hash_ids, (std::vector<uint64_t>{102, 103, 104}));
  EXPECT_EQ(cut.BlocksOf(cut.requests[2])[1], 104u);
  EXPECT_EQ(Rows(Sliced(trace, {.start = Time{20}, .limit = 2})), (RowList{{0, 2, 2}, {0, 3, 3}}));
  EXPECT_EQ(Sliced(trace, {}).requests, trace.requests);
}

TEST(RequestsTest, SpeedingUpDividesTimes) {
  const RequestTrace trace{.file = "t", .requests = {{Time{10}, 1, 1}, {Time{25}, 2, 2}}};
  EXPECT_EQ(Rows(SpedUp(trace, 2.5)), (RowList{{4, 1, 1}, {10, 2, 2}}));
  EXPECT_EQ(Rows(SpedUp(trace, 0.5)), (RowList{{20, 1, 1}, {50, 2, 2}}));
  const RequestTrace late{.file = "t",
                          .requests = {{Time{INT64_C(8'000'000'000'000'000'000)}, 1, 1}}};
  EXPECT_NE(MessageOf([&] { SpedUp(late, 0.5); }).find("t: found a last request after 16000000"),
            std::string::npos);
}

}  // namespace
}  // namespace moecast
