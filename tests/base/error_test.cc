#include "base/error.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace moecast {
namespace {

TEST(UserErrorTest, NamesPlaceValueExpectedAndHintAndLeavesOutWhatIsEmpty) {
  EXPECT_STREQ(
      UserError(
          UserError::Parts{
              .file = "a.json", .pointer = "/x/0", .value = "3", .expected = "2", .hint = "two"})
          .what(),
      "a.json: /x/0: found 3, expected 2 (did you mean \"two\"?)");
  EXPECT_STREQ(UserError(UserError::Parts{.file = "a.json", .expected = "a file"}).what(),
               "a.json: expected a file");
  EXPECT_STREQ(UserError(UserError::Parts{.value = "3"}).what(), "found 3");
}

TEST(NearestTest, GuessesASlipOfTheKeyboard) {
  const std::vector<std::string_view> names = {"micro_batch", "global_batch", "tp",
                                               "pp",          "schedule",     "zero"};
  EXPECT_EQ(Nearest("micro_bacth", names), "micro_batch");  // two neighbours swapped
  EXPECT_EQ(Nearest("microbatch", names), "micro_batch");   // one missing
  EXPECT_EQ(Nearest("schedulle", names), "schedule");       // one too many
  EXPECT_EQ(Nearest("zerp", names), "zero");                // one wrong
  EXPECT_EQ(Nearest("tp", names), "tp");
}

TEST(NearestTest, StaysSilentWhereNothingIsNear) {
  const std::vector<std::string_view> names = {"micro_batch", "tp"};
  EXPECT_EQ(Nearest("optimizer", names), "");
  EXPECT_EQ(Nearest("xy", names), "");  // every letter of "tp" would change
  EXPECT_EQ(Nearest(std::string(1000, 'm'), names), "");
  EXPECT_EQ(Nearest("tp", {}), "");
}

TEST(NearestTest, OfEquallyNearNamesTheFirstIsTaken) {
  const std::vector<std::string_view> names = {"bat", "cat"};
  EXPECT_EQ(Nearest("hat", names), "bat");
}

TEST(JoinTest, SeparatesWithoutATrailingSeparator) {
  const std::vector<std::string_view> names = {"a", "b", "c"};
  EXPECT_EQ(Join(names), "a, b, c");
  EXPECT_EQ(Join(names, "|"), "a|b|c");
  EXPECT_EQ(Join({}), "");
}

TEST(ShortenedTest, CutsLongTextAndEscapesControlCharacters) {
  EXPECT_EQ(Shortened("short"), "short");
  EXPECT_EQ(Shortened("abcdef", 3), "abc...");
  EXPECT_EQ(Shortened("a\nb\x1b"), "a\\x0ab\\x1b");
  EXPECT_LE(Shortened(std::string(1'000'000, 'x')).size(), 63u);
}

TEST(CheckDeathTest, AFailedCheckNamesItsPlaceAndAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(MOECAST_CHECK(1 + 1 == 3), "error_test.cc:[0-9]+: check failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace moecast
