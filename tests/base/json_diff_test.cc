#include "base/json_diff.h"

#include <gtest/gtest.h>

namespace moecast {
namespace {

std::vector<std::string> Lines(const std::string& a, const std::string& b) {
  std::vector<std::string> lines;
  for (const JsonDifference& d : DifferencesOf(ParseJson(a, "")->root, ParseJson(b, "")->root))
    lines.push_back(d.pointer + " " + d.a.dump() + " " + d.b.dump());
  return lines;
}

TEST(JsonDiffTest, NamesTheDeepestPlaceThatDiffers) {
  using List = std::vector<std::string>;
  EXPECT_EQ(Lines("{}", "{}"), List{});
  EXPECT_EQ(Lines("1", "2"), (List{" 1 2"}));
  EXPECT_EQ(Lines(R"({"x": {"y": 1, "z": 2}})", R"({"x": {"y": 1, "z": 3}})"), (List{"/x/z 2 3"}));
  EXPECT_EQ(Lines(R"({"x": 1})", R"({"y": 1})"), (List{"/x 1 null", "/y null 1"}));
  EXPECT_EQ(Lines(R"({"a/b~c": 1})", R"({"a/b~c": 2})"), (List{"/a~1b~0c 1 2"}));
  // Lists: of objects item by item, of scalars or of other lengths as a whole.
  EXPECT_EQ(Lines(R"([{"n": 1}, {"n": 2}])", R"([{"n": 1}, {"n": 3}])"), (List{"/1/n 2 3"}));
  EXPECT_EQ(Lines(R"({"r": ["p", "q"]})", R"({"r": ["p", "s"]})"),
            (List{R"(/r ["p","q"] ["p","s"])"}));
  EXPECT_EQ(Lines(R"([{"n": 1}])", "[]"), (List{R"( [{"n":1}] [])"}));
}

}  // namespace
}  // namespace moecast
