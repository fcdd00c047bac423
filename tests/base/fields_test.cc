#include "base/fields.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/dtype.h"
#include "base/random.h"

namespace moecast {

// One member of every kind a Fields table takes.
struct Inner {
  int depth = 2;
  std::optional<std::string> note;
  bool operator==(const Inner&) const = default;
};
struct Sample {
  bool flag = true;
  int count = 3;
  int64_t large = 4;
  double ratio = 0.5;
  std::string text = "plain";
  Bytes size = MiB(16);
  Seconds time = Milliseconds(18.5);
  BytesPerSecond rate = Gbps(400);
  FlopsPerSecond peak = Tflops(989);
  Dtype dtype = Dtype::kBf16;
  Inner inner{.depth = 7};
  std::vector<Inner> list;
  std::vector<int> numbers = {1, 2};
  std::optional<int> maybe;
  bool operator==(const Sample&) const = default;
};

const Fields<Inner>& FieldsOf(const Inner*) {
  static const Fields<Inner> fields(
      "inner", {
                   Row("depth", &Inner::depth, "how deep", {.low = 0, .high = 9}),
                   Row("note", &Inner::note, "a remark"),
               });
  return fields;
}
const Fields<Sample>& FieldsOf(const Sample*) {
  static const Fields<Sample> fields(
      "sample", {
                    Row("flag", &Sample::flag, "on or off"),
                    RequiredRow("count", &Sample::count, "how many", {.low = 1, .high = 100}),
                    Row("large", &Sample::large, "many"),
                    Row("ratio", &Sample::ratio, "a share", {.low = 0, .high = 1}),
                    Row("text", &Sample::text, "a word"),
                    Row("size", &Sample::size, "of a buffer", {.low = 1}),
                    Row("time", &Sample::time, "of a step"),
                    Row("rate", &Sample::rate, "of a link"),
                    Row("peak", &Sample::peak, "of a device"),
                    Row("dtype", &Sample::dtype, "of an element"),
                    Row("inner", &Sample::inner, "nested"),
                    Row("list", &Sample::list, "of nested", {.max_items = 3}),
                    Row("numbers", &Sample::numbers, "a list", {.low = 0, .high = 5}),
                    Row("maybe", &Sample::maybe, "or nothing"),
                });
  return fields;
}

namespace {

const Fields<Sample>& Table() {
  return FieldsOf(static_cast<const Sample*>(nullptr));
}
Sample Parse(std::string_view text) {
  return Table().Parse(JsonCursor(ParseJson(text, "f.json")));
}
std::string Fault(std::string_view text) {
  try {
    Parse(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no UserError";
}

TEST(FieldsTest, AnAbsentFieldKeepsTheStructsDefaultInNestedStructsToo) {
  Sample expected;
  EXPECT_EQ(Parse(R"({"count": 3})"), expected);
  expected.inner.note = "x";  // depth stays 7, Sample's default, not Inner's 2
  EXPECT_EQ(Parse(R"({"count": 3, "inner": {"note": "x"}})"), expected);
  expected = {};
  expected.list = {Inner{.depth = 2}, Inner{.depth = 5}};
  EXPECT_EQ(Parse(R"({"count": 3, "list": [{}, {"depth": 5}]})"), expected);
}

TEST(FieldsTest, EveryKindOfMemberIsParsed) {
  const Sample s =
      Parse(R"({"flag": false, "count": 9, "large": 9007199254740993, "ratio": 0.25, "text": "w",
    "size": "2GB", "time": "3us", "rate": "50GB/s", "peak": "1PFLOP/s", "dtype": "fp8_block", "inner": {"depth": 1},
    "list": [{}], "numbers": [5], "maybe": 6})");
  EXPECT_EQ(s, (Sample{.flag = false,
                       .count = 9,
                       .large = 9007199254740993,
                       .ratio = 0.25,
                       .text = "w",
                       .size = GB(2),
                       .time = Microseconds(3),
                       .rate = GBps(50),
                       .peak = Tflops(1000),
                       .dtype = Dtype::kFp8Block,
                       .inner = {.depth = 1},
                       .list = {Inner{}},
                       .numbers = {5},
                       .maybe = 6}));
}

TEST(FieldsTest, ParsingWhatWasPrintedGivesTheValueBack) {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    Sample s;
    s.flag = random.Below(2) == 0;
    s.count = 1 + static_cast<int>(random.Below(100));
    s.large = static_cast<int64_t>(random.Below(1'000'000'000'000'000'000));
    s.ratio = random.Uniform();
    s.text = std::string(1, static_cast<char>(random.Below(128)));
    s.size = Bytes(1 + static_cast<double>(random.Next() >> 20));
    s.time = Seconds(random.Uniform());
    s.rate = BytesPerSecond(random.Uniform() * 1e12);
    s.peak = FlopsPerSecond(random.Uniform() * 1e15);
    s.dtype = EnumNames<Dtype>::kNames[random.Below(4)].value;
    s.inner.depth = static_cast<int>(random.Below(10));
    if (random.Below(2) == 0) s.inner.note = "n";
    s.list.resize(random.Below(4));
    s.numbers.assign(random.Below(4), static_cast<int>(random.Below(6)));
    if (random.Below(2) == 0) s.maybe = static_cast<int>(random.Below(1000));
    auto document = std::make_shared<JsonDocument>();
    document->root = Table().Print(s);
    EXPECT_EQ(Table().Parse(JsonCursor(document)), s) << DumpJson(document->root);
  }
}

TEST(FieldsTest, UnknownFieldsAreRefusedWithTheNearestName) {
  const std::string fault = Fault(R"({"count": 1, "inner": {"dept": 3}})");
  EXPECT_EQ(fault,
            "f.json: /inner/dept: found an unknown field, expected one of depth, note (did you "
            "mean \"depth\"?)");
  EXPECT_NE(Fault(R"({"count": 1, "falg": true})").find("(did you mean \"flag\"?)"),
            std::string::npos);
}

TEST(FieldsTest, MissingRequiredFieldsAreNamed) {
  EXPECT_EQ(Fault("{}"), "f.json: /: found an empty object, expected a value for \"count\" in it");
}

TEST(FieldsTest, ValuesOfTheWrongTypeUnitOrSizeAreRefusedWithTheirPlace) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"count": 0})", "/count: found 0, expected a whole number from 1 to 100"},
      {R"({"count": 1000000000000000000})",
       "/count: found 1000000000000000000, expected a whole number from 1 to 100"},
      {R"({"count": "3"})", "/count: found \"3\", expected a whole number"},
      {R"({"count": 1, "flag": 1})", "/flag: found 1, expected true or false"},
      {R"({"count": 1, "ratio": 1.5})", "/ratio: found 1.5, expected a number from 0 to 1"},
      {R"({"count": 1, "size": 16})", "/size: found 16, expected a text with a unit such as 16MiB"},
      {R"({"count": 1, "size": "16"})", "/size: found \"16\", expected a text with a unit"},
      {R"({"count": 1, "size": "-1GB"})", "/size: found \"-1GB\", expected from 1B to "},
      {R"({"count": 1, "size": "0B"})", "/size: found \"0B\", expected from 1B to "},
      {R"({"count": 1, "time": "5GB"})",
       "/time: found \"5GB\", expected a text with a unit such as 18.5ms"},
      {R"({"count": 1, "dtype": "bf61"})",
       "/dtype: found \"bf61\", expected one of fp32, bf16, fp8, fp8_block"},
      {R"({"count": 1, "list": {}})", "/list: found an empty object, expected a list"},
      {R"({"count": 1, "list": [{}, {}, {}, {}]})",
       "/list: found a list of 4, expected at most 3 items"},
      {R"({"count": 1, "list": [{}, {"depth": 10}]})",
       "/list/1/depth: found 10, expected a whole number from 0 to 9"},
      {R"({"count": 1, "numbers": [1, -1]})",
       "/numbers/1: found -1, expected a whole number from 0 to 5"},
      {R"([])", "/: found an empty list, expected an object"},
      {R"({"count": 1, "inner": null})", "/inner: found null, expected an object"},
  };
  for (const auto& [text, fault] : kCases)
    EXPECT_NE(Fault(text).find(fault), std::string::npos)
        << text << "\n  gave: " << Fault(text) << "\n  not:  " << fault;
}

TEST(FieldsTest, AnIntNeverOverflowsWhateverItsLimits) {
  EXPECT_THROW(Parse(R"({"count": 1, "maybe": 4294967296})"), UserError);
}

TEST(FieldsTest, TheSchemaSaysRequiredDefaultsAndBounds) {
  const Json schema = Table().Schema();
  EXPECT_EQ(schema["required"], Json::array({"count"}));
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["properties"].size(), Table().rows().size());
  const Json& properties = schema["properties"];
  EXPECT_EQ(properties["count"]["maximum"], 100);
  EXPECT_FALSE(properties["count"].contains("default"));
  EXPECT_EQ(properties["size"]["default"], "16MiB");
  EXPECT_EQ(properties["dtype"]["enum"], Json::array({"fp32", "bf16", "fp8", "fp8_block"}));
  EXPECT_EQ(properties["list"]["items"]["properties"]["depth"]["description"], "how deep");
}

TEST(FieldsTest, EveryLeafIsDocumentedOnceByItsPointer) {
  std::vector<FieldDoc> docs;
  Table().Document("/sample", docs);
  std::vector<std::string> pointers;
  for (const FieldDoc& d : docs) {
    pointers.push_back(d.pointer);
    EXPECT_FALSE(d.help.empty()) << d.pointer;
    EXPECT_FALSE(d.type.empty()) << d.pointer;
  }
  EXPECT_EQ(pointers,
            (std::vector<std::string>{
                "/sample/flag", "/sample/count", "/sample/large", "/sample/ratio", "/sample/text",
                "/sample/size", "/sample/time", "/sample/rate", "/sample/peak", "/sample/dtype",
                "/sample/inner/depth", "/sample/inner/note", "/sample/list/0/depth",
                "/sample/list/0/note", "/sample/numbers", "/sample/maybe"}));
  EXPECT_EQ(docs[1].default_value, "");
  EXPECT_EQ(docs[5].default_value, "\"16MiB\"");
}

}  // namespace
}  // namespace moecast
