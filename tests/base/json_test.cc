#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/message_of.h"

namespace moecast {
namespace {

JsonCursor Cursor(std::string_view text) {
  return JsonCursor(ParseJson(text, "f.json"));
}

std::string ParseError(std::string_view text) {
  return MessageOf([&] { ParseJson(text, "f.json"); });
}

TEST(ParseJsonTest, AFaultIsNamedWithItsLineAndColumn) {
  EXPECT_EQ(ParseError("{\"a\": 1,\n \"b\": x}").substr(0, 46),
            "f.json: line 2, column 7: found no valid JSON:");
  EXPECT_EQ(ParseError("{\"a\": 1,}").substr(0, 24), "f.json: line 1, column 9");
  EXPECT_EQ(ParseError("[1, 2").substr(0, 24), "f.json: line 1, column 6");
  EXPECT_EQ(ParseError("").substr(0, 24), "f.json: line 1, column 1");
  EXPECT_EQ(ParseError("{} {}").substr(0, 24), "f.json: line 1, column 4");
}

TEST(ParseJsonTest, RefusesWhatIsNotJson) {
  for (const char* text :
       {"nan", "NaN", "Infinity", "01", "1.", ".5", "+1", "'a'", "{a: 1}", "[1,]", "// x\n1",
        "\"\xff\"", "\"a\nb\"", "\"\\x\"", "tru", "[1 2]", "{\"a\" 1}", "\"\\ud800\""}) {
    EXPECT_NE(ParseError(text).find("found no valid JSON"), std::string::npos) << text;
  }
}

TEST(ParseJsonTest, ANumberBeyondDoubleIsRefusedAndNotInfinity) {
  EXPECT_NE(ParseError("[1e999]").find("a number beyond the range of double precision"),
            std::string::npos);
  EXPECT_NE(ParseError("[-1e999]").find("a number beyond the range of double precision"),
            std::string::npos);
  EXPECT_EQ(Cursor("1e308").Number(0, 1e308), 1e308);
  // An integer beyond 64 bits becomes a double.
  EXPECT_EQ(Cursor("100000000000000000000").Number(0, 1e30), 1e20);
}

TEST(ParseJsonTest, AKeyTwiceInOneObjectIsRefusedAndInTwoObjectsIsFine) {
  EXPECT_EQ(ParseError("{\"a\": 1, \"b\": 2, \"a\": 3}"),
            "f.json: found the key \"a\" twice in one object, expected each key once");
  EXPECT_EQ(ParseError("{\"x\": {\"a\": 1, \"a\": 1}}").substr(0, 27),
            "f.json: found the key \"a\" t");
  EXPECT_EQ(ParseError("[{\"a\": 1}, {\"a\": {\"a\": 2}}]"), "no UserError");
}

TEST(ParseJsonTest, NestsToDepth64AndNoDeeper) {
  const auto nested = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  EXPECT_EQ(ParseError(nested(64)), "no UserError");
  EXPECT_EQ(ParseError(nested(65)),
            "f.json: found values nested deeper than 64, expected a flatter file");
  // A million open brackets must not exhaust the stack.
  EXPECT_EQ(ParseError(std::string(1'000'000, '[')),
            "f.json: found values nested deeper than 64, expected a flatter file");
}

TEST(ParseJsonTest, ATextOf17MegabytesIsRefusedUnread) {
  EXPECT_EQ(ParseError(std::string(17'000'000, ' ')),
            "f.json: found 17000000 bytes, expected at most 16777216");
}

TEST(ParseJsonTest, KeysKeepTheirOrder) {
  EXPECT_EQ(Cursor("{\"b\": 1, \"a\": 2, \"c\": 3}").Keys(),
            (std::vector<std::string>{"b", "a", "c"}));
}

TEST(PatchJsonTest, ReplacesAddsAndWalksLists) {
  const auto document = ParseJson("{\"a\": {\"b\": 1}, \"l\": [1, {\"x\": 2}]}", "f.json");
  PatchJson(*document, "a/b", 5, {"--set", ""});
  PatchJson(*document, "/a/c/d", "new", {"--set", ""});
  PatchJson(*document, "l/0", 7, {"--set", ""});
  PatchJson(*document, "l/1/x", 8, {"--set", ""});
  PatchJson(*document, "a~1b/~0", 9, {"--set", ""});  // the keys "a/b" and "~"
  EXPECT_EQ(DumpJson(document->root, -1),
            R"({"a":{"b":5,"c":{"d":"new"}},"l":[7,{"x":8}],"a/b":{"~":9}})");
}

TEST(PatchJsonTest, APathThroughAScalarOrBesideAListIsTheUsersFault) {
  const auto document = ParseJson("{\"a\": 3, \"l\": [1]}", "f.json");
  const auto patch = [&](const char* path) {
    return MessageOf([&] { PatchJson(*document, path, 1, {"--set x", ""}); });
  };
  EXPECT_EQ(patch("a/b"), "--set x: /a: found 3 on the way, expected an object or a list");
  EXPECT_EQ(patch("l/1"), "--set x: /l/1: found \"1\", expected an index below 1");
  EXPECT_EQ(patch("l/-1"), "--set x: /l/-1: found \"-1\", expected an index below 1");
  EXPECT_EQ(patch("l/0.5"), "--set x: /l/0.5: found \"0.5\", expected an index below 1");
  EXPECT_EQ(patch("l/x"), "--set x: /l/x: found \"x\", expected an index below 1");
  EXPECT_EQ(patch("l//b"), "--set x: found an empty name in the path, expected a/b/c=value");
  EXPECT_EQ(patch("//"), "--set x: found an empty name in the path, expected a/b/c=value");
  EXPECT_EQ(patch(""), "--set x: found an empty name in the path, expected a/b/c=value");
}

TEST(PatchJsonTest, MessagesAboutAPatchedValueNameThePatch) {
  const auto document = ParseJson("{\"a\": {\"b\": 1}, \"c\": 2}", "f.json");
  PatchJson(*document, "a", Json{{"b", "x"}}, {"--set a", ""});
  const JsonCursor root(document);
  EXPECT_EQ(MessageOf([&] { root.Key("a").Key("b").Int(0, 9); }),
            "--set a: /a/b: found \"x\", expected a whole number from 0 to 9");
  EXPECT_EQ(MessageOf([&] { root.Key("c").Int(5, 9); }),
            "f.json: /c: found 2, expected a whole number from 5 to 9");
}

TEST(PatchJsonTest, ATextNeedsNoQuotesWhereItLooksLikeANumber) {
  const auto document = ParseJson("{\"stack\": \"2024h1\", \"n\": 3}", "f.json");
  PatchJson(*document, "stack", 2025, {"--set stack=2025", "2025"});
  const JsonCursor root(document);
  EXPECT_EQ(root.Key("stack").Text(), "2025");
  EXPECT_EQ(MessageOf([&] { root.Key("n").Text(); }), "f.json: /n: found 3, expected a text");
}

TEST(JsonCursorTest, KnowsItsPointer) {
  const JsonCursor root = Cursor("{\"a/b\": [{\"~\": 1}]}");
  EXPECT_EQ(root.pointer(), "");
  EXPECT_EQ(root.Key("a/b").At(0).Key("~").pointer(), "/a~1b/0/~0");
}

TEST(JsonCursorTest, ScalarsRefuseOtherTypesAndValuesOutside) {
  const JsonCursor root = Cursor(
      R"({"i": 3, "f": 2.5, "whole": 4.0, "s": "x", "b": true, "n": null, "l": [1], "o": {}})");
  EXPECT_EQ(root.Key("i").Int(0, 3), 3);
  EXPECT_EQ(root.Key("whole").Int(0, 9), 4);
  EXPECT_EQ(root.Key("f").Number(0, 3), 2.5);
  EXPECT_EQ(root.Key("i").Number(0, 3), 3);
  EXPECT_EQ(root.Key("s").Text(), "x");
  EXPECT_TRUE(root.Key("b").Bool());
  const auto fault = [&](const char* key, auto read) {
    return MessageOf([&] { read(root.Key(key)); });
  };
  const auto as_int = [](const JsonCursor& c) { c.Int(0, 2); };
  EXPECT_EQ(fault("i", as_int), "f.json: /i: found 3, expected a whole number from 0 to 2");
  EXPECT_EQ(fault("f", as_int), "f.json: /f: found 2.5, expected a whole number from 0 to 2");
  EXPECT_EQ(fault("s", as_int), "f.json: /s: found \"x\", expected a whole number from 0 to 2");
  EXPECT_EQ(fault("n", as_int), "f.json: /n: found null, expected a whole number from 0 to 2");
  EXPECT_EQ(fault("l", [](const JsonCursor& c) { c.Number(0, 1); }),
            "f.json: /l: found a list of 1, expected a number from 0 to 1.00000");
  EXPECT_EQ(fault("o", [](const JsonCursor& c) { c.Text(); }),
            "f.json: /o: found an empty object, expected a text");
  EXPECT_EQ(fault("i", [](const JsonCursor& c) { c.Bool(); }),
            "f.json: /i: found 3, expected true or false");
  EXPECT_EQ(fault("i", [](const JsonCursor& c) { c.size(); }),
            "f.json: /i: found 3, expected a list");
  EXPECT_EQ(fault("i", [](const JsonCursor& c) { c.Keys(); }),
            "f.json: /i: found 3, expected an object");
  EXPECT_EQ(fault("i", [](const JsonCursor& c) { c.Required("x"); }),
            "f.json: /i: found 3, expected an object");
}

TEST(JsonCursorTest, WholeNumbersKeepAll64BitsAndRefuseMore) {
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min(),
                    kHigh = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Cursor("9223372036854775807").Int(kLow, kHigh), kHigh);
  EXPECT_EQ(Cursor("-9223372036854775808").Int(kLow, kHigh), kLow);
  EXPECT_EQ(Cursor("9007199254740993").Int(0, kHigh), 9007199254740993);  // 2^53 + 1
  for (const char* text : {"9223372036854775808", "18446744073709551615", "1e300", "-1"})
    EXPECT_THROW(Cursor(text).Int(0, kHigh), UserError) << text;
  EXPECT_THROW(Cursor("5").Int(-9, -1), UserError);
}

TEST(JsonCursorTest, AnUnknownFieldIsNamedWithTheNearestAndAMissingOneWithItsName) {
  const JsonCursor root = Cursor("{\"micro_bacth\": 1}");
  const std::vector<std::string_view> valid = {"micro_batch", "tp"};
  EXPECT_EQ(
      MessageOf([&] { root.AllowOnly(valid); }),
      "f.json: /micro_bacth: found an unknown field, expected one of micro_batch, tp (did you mean "
      "\"micro_batch\"?)");
  EXPECT_EQ(MessageOf([&] { root.Required("tp"); }),
            "f.json: /: found an object, expected a value for \"tp\" in it");
}

TEST(DumpJsonTest, PrintsNineDigitsAndIntegersExactly) {
  EXPECT_EQ(DumpJson(Json(1.0 / 3)), "0.333333333");
  EXPECT_EQ(DumpJson(Json(2.0)), "2");
  EXPECT_EQ(DumpJson(Json(123456789012345.0)), "123456789012345");
  EXPECT_EQ(DumpJson(Json(1.5e300)), "1.5e+300");
  EXPECT_EQ(DumpJson(Json(int64_t{9007199254740993})), "9007199254740993");
  EXPECT_EQ(DumpJson(Json(std::numeric_limits<double>::infinity())), "null");
  EXPECT_EQ(DumpJson(Json("a\"\n\xff")), "\"a\\\"\\n\xef\xbf\xbd\"");
}

TEST(DumpJsonTest, ListsOfScalarsStayOnOneLine) {
  EXPECT_EQ(DumpJson(ParseJson(R"({"a":[1,2],"b":[{"c":[]},[]],"d":{}})", "")->root),
            "{\n  \"a\": [1, 2],\n  \"b\": [\n    {\n      \"c\": []\n    },\n    []\n  ],\n  "
            "\"d\": {}\n}");
  EXPECT_EQ(DumpJson(ParseJson(R"({"a":[1,2],"d":{"x":null}})", "")->root, -1),
            R"({"a":[1,2],"d":{"x":null}})");
}

}  // namespace
}  // namespace moecast
