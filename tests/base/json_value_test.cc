#include "base/json_value.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace moecast {
namespace {

TEST(JsonTest, BracesAroundPairsThatBeginWithATextAreAnObjectAndOthersAList) {
  EXPECT_EQ((Json{{"a", 1}, {"b", {1, "x", nullptr}}}).dump(), R"({"a":1,"b":[1,"x",null]})");
  EXPECT_EQ((Json{{"a", {{"b", Json()}}}}).dump(), R"({"a":{"b":null}})");
  EXPECT_EQ((Json{"a", "b"}).dump(), R"(["a","b"])");
  EXPECT_EQ((Json{{1, 2}, {3, 4}}).dump(), "[[1,2],[3,4]]");
  EXPECT_EQ(Json::array({{"a", 1}, {"b", 2}}).dump(), R"([["a",1],["b",2]])");
  EXPECT_EQ(Json::array({Json{{"a", 1}}}).dump(), R"([{"a":1}])");
}

TEST(JsonTest, ContainersAreListsAndTheEmptyOnesAreNotNull) {
  EXPECT_EQ(Json(std::vector<std::vector<int>>{{1, 2}, {}}).dump(), "[[1,2],[]]");
  EXPECT_EQ((Json{{"names", std::vector<std::string>{"a"}}}).dump(), R"({"names":["a"]})");
  EXPECT_EQ(Json::array().dump(), "[]");
  EXPECT_EQ(Json::object().dump(), "{}");
  EXPECT_EQ(Json().dump(), "null");
}

TEST(JsonTest, NullBecomesTheListOrObjectThatItIsUsedAs) {
  Json list, object;
  list.push_back({{"x", 1}});
  object["a"]["b"] = true;
  EXPECT_EQ(list.dump(), R"([{"x":1}])");
  EXPECT_EQ(object.dump(), R"({"a":{"b":true}})");
}

TEST(JsonTest, MembersKeepTheOrderInWhichTheyCame) {
  Json j = {{"b", 1}, {"a", 2}, {"c", 3}};
  j["a"] = 5;
  j.update({{"d", 4}, {"b", 0}});
  EXPECT_EQ(j.dump(), R"({"b":0,"a":5,"c":3,"d":4})");
  j.erase("a");
  j.erase("none");
  EXPECT_EQ(j.keys(), (std::vector<std::string>{"b", "c", "d"}));
  EXPECT_EQ(j.dump(), R"({"b":0,"c":3,"d":4})");
  EXPECT_TRUE(j.contains("c"));
  EXPECT_FALSE(j.contains("a"));
  EXPECT_EQ(*j.find("c"), 3);
  EXPECT_EQ(j.find("a"), j.end());
}

TEST(JsonTest, ObjectsAreEqualInTheSameOrderAlone) {
  const Json ab = {{"a", 1}, {"b", 2}}, ba = {{"b", 2}, {"a", 1}};
  EXPECT_EQ(ab, (Json{{"a", 1.0}, {"b", 2u}}));
  EXPECT_FALSE(ab == ba);
}

TEST(JsonTest, NumbersCompareByValueWhateverTheirType) {
  constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Json(172800), Json(172800.0));
  EXPECT_EQ(Json(7u), Json(int64_t{7}));
  EXPECT_FALSE(Json(kLargest) == Json(-1));  // the same bits
  EXPECT_GT(Json(kLargest), Json(std::numeric_limits<int64_t>::max()));
  EXPECT_LT(Json(-1), Json(kLargest));
  EXPECT_LT(Json(1), Json(1.5));
  EXPECT_LT(Json("a"), Json("b"));
  EXPECT_FALSE(Json(1) < Json("b"));
  EXPECT_FALSE(Json(0) == Json(false));
  EXPECT_FALSE(Json(0) == Json());
  EXPECT_EQ(Json(kLargest).get<double>(), 18446744073709551615.0);
  EXPECT_EQ(Json(2.9).get<int>(), 2);
}

TEST(JsonTest, DumpLosesNoDigit) {
  EXPECT_EQ(Json(1.0 / 3).dump(), "0.3333333333333333");
  EXPECT_EQ(Json(1e300).dump(), "1e+300");
  EXPECT_EQ(Json(std::numeric_limits<uint64_t>::max()).dump(), "18446744073709551615");
  EXPECT_EQ(Json(std::numeric_limits<int64_t>::min()).dump(), "-9223372036854775808");
}

}  // namespace
}  // namespace moecast
