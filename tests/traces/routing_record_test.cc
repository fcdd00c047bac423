#include "traces/routing_record.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

RoutingRecord Parse(std::string_view text, int experts = 4) {
  return ParseRoutingRecord(text, "r", experts);
}
// Two layers of three tokens; the last token has one expert.
RoutingRecord SomeChoices() {
  return {.layers = 2,
          .experts = 4,
          .top_k = 2,
          .rows = 3,
          .choices = {0, 1, 3, 2, 1, kNoExpert, 2, 3, 0, 3, 2, kNoExpert}};
}
RoutingRecord SomeCounts() {
  return {.layers = 1, .experts = 4, .rows = 2, .counts = {5, 0, 2, 1, 0, 0, 8, 0}};
}

TEST(RoutingRecordTest, BinaryIsReadBackAsItWasWritten) {
  EXPECT_EQ(Parse(WriteRoutingRecord(SomeChoices())), SomeChoices());
  EXPECT_EQ(Parse(WriteRoutingRecord(SomeCounts())), SomeCounts());
  RoutingRecord affine = SomeChoices();
  for (size_t i = 0; i < affine.choices.size(); ++i)
    affine.affinities.push_back(0.0625f * static_cast<float>(i));
  EXPECT_EQ(Parse(WriteRoutingRecord(affine)), affine);
}

TEST(RoutingRecordTest, TheBytesAreThoseOfTheFormat) {
  const std::string bytes = WriteRoutingRecord(SomeCounts());
  ASSERT_EQ(bytes.size(), 8u + 6 * 4 + 8 + 8 * 4);
  const unsigned char head[] = {'M', 'O', 'E', 'R', 'O', 'U', 'T', 'E', 1, 0, 0, 0, 0, 0, 0,
                                0,   1,   0,   0,   0,   4,   0,   0,   0, 0, 0, 0, 0, 0, 0,
                                0,   0,   2,   0,   0,   0,   0,   0,   0, 0, 5, 0, 0, 0};
  EXPECT_EQ(std::memcmp(bytes.data(), head, sizeof head), 0);
}

TEST(RoutingRecordTest, ATableOfChoicesOrCountsIsTheSame) {
  EXPECT_EQ(Parse("layer,token,expert\n0,0,0\n0,0,1\n0,1,3\n0,1,2\n0,2,1\n1,0,2\n1,0,3\n1,1,0\n1,1,"
                  "3\n1,2,2\n"),
            SomeChoices());
  EXPECT_EQ(Parse("layer,micro_batch,expert,tokens\n0,1,2,8\n0,0,0,5\n0,0,2,2\n0,0,3,1\n"),
            SomeCounts());
  EXPECT_EQ(Parse("layer,token,expert,affinity\n0,0,3,0.5\n").affinities, std::vector<float>{0.5f});
}

TEST(RoutingRecordErrorTest, WhatIsWrongIsNamedWithItsPlace) {
  const std::string good = WriteRoutingRecord(SomeChoices());
  const auto with = [&](size_t at, char byte) {
    std::string text = good;
    text[at] = byte;
    return text;
  };
  RoutingRecord affine = SomeChoices();
  affine.affinities.assign(affine.choices.size(), 0.5f);
  affine.affinities[4] = 1.5f;
  const struct {
    std::string text;
    const char* says;
  } cases[] = {
      {"", "no header line"},
      {good.substr(0, 20), "header: found 20 bytes, expected 40 bytes"},
      {good.substr(0, good.size() - 1), "after the header: found 23 bytes, expected 24 bytes"},
      {good + "x", "after the header: found 25 bytes"},
      {with(8, 2), "header, version: found 2, expected 1"},
      {with(12, 3), "header, content: found 3, expected 0 (counts)"},
      {with(16, 0), "header, layers: found 0"},
      {with(19, 1), "header, layers: found 16777218, expected from 1 to 4096"},
      {with(20, 8), "header, experts: found 8, expected the model's 4"},
      {with(24, 5), "header, top_k: found 5"},
      {with(12, 0), "header, top_k: found 2, expected 0 with counts"},
      {with(28, 1), "header, reserved: found 1"},
      {with(32, 0), "header, rows: found 0"},
      {with(39, '\x7f'), "header, rows"},
      {with(40, 9), "layer 0, token 0: found expert 9, expected an expert from 0 to 3"},
      {with(42, 0), "layer 0, token 0: found expert 0 twice"},
      {WriteRoutingRecord(affine), "layer 0, token 2: found affinity 1.5"},
      {std::string("PK\3\4\0\0", 6), "\"MOEROUTE\" or a CSV table"},
      {"layer,token,expert\n", "no rows"},
      {"layer,tokn,expert\n0,0,1\n", "did you mean \"tokn\""},
      {"layer,token,expert\n0,0,4\n",
       "line 2, column \"expert\": found \"4\", expected a number from 0 to 3"},
      {"layer,token,expert\n0,0,1\n0,0,1\n", "expert 1 twice"},
      {"layer,token,expert\n0,0,0.5\n", "a whole number"},
      {"layer,token,expert,affinity\n0,0,1,2\n", "a number from 0 to 1"},
      {"layer,token,expert\n0,-1,1\n", "column \"token\""},
      {"layer,token,expert\n0,0\n", "2 fields"},
      {"layer,token,expert\n4000,4000000000,1\n", "at most 16777216 numbers"},
      {"layer,micro_batch,expert,tokens\n0,0,1,-5\n", "column \"tokens\""},
  };
  for (const auto& c : cases) {
    const std::string message = MessageOf([&] { Parse(c.text); });
    EXPECT_NE(message.find(c.says), std::string::npos) << message << " instead of " << c.says;
  }
}

TEST(RoutingRecordErrorTest, EveryTruncationIsAnError) {
  const std::string good = WriteRoutingRecord(SomeChoices());
  for (size_t n = 0; n < good.size(); ++n)
    EXPECT_NE(MessageOf([&] { Parse(std::string_view(good).substr(0, n)); }), "no UserError") << n;
}

}  // namespace
}  // namespace moecast
