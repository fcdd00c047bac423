#include "traces/measurements.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/message_of.h"

namespace moecast {
namespace {

TEST(MeasurementsTest, ReadsQuotedFieldsCommentsAndBothLineEnds) {
  const Measurements t("# from a card\r\nname,us\r\n\"a, \"\"b\"\"\",1.5\r\nplain,2\n\n", "t.csv");
  ASSERT_EQ(t.rows(), 2u);
  EXPECT_EQ(t.Text(0, 0), "a, \"b\"");
  EXPECT_EQ(t.Number(0, t.Column("us"), 0, 10), 1.5);
  EXPECT_EQ(t.Text(1, 0), "plain");
  EXPECT_EQ(t.Integer(1, 1, 0, 10), 2);
}

TEST(MeasurementsTest, ACopyOutlivesTheTableItWasMadeFrom) {
  auto t = std::make_unique<Measurements>("a\n\"x y\"\n", "t.csv");
  const Measurements copy = *t;
  t.reset();
  EXPECT_EQ(copy.Text(0, 0), "x y");
}

TEST(MeasurementsTest, AnErrorNamesFileLineAndColumn) {
  const Measurements t("m,us\n1,2\n2,nan\n3,x\n4,-1\n5,1.5\n", "t.csv");
  EXPECT_EQ(MessageOf([&] { t.Number(1, 1, 0, 10); }),
            "t.csv: line 3, column \"us\": found \"nan\", expected a number from 0 to 10");
  EXPECT_EQ(MessageOf([&] { t.Number(2, 1, 0, 10); }),
            "t.csv: line 4, column \"us\": found \"x\", expected a number from 0 to 10");
  EXPECT_EQ(MessageOf([&] { t.Number(3, 1, 0, 10); }),
            "t.csv: line 5, column \"us\": found \"-1\", expected a number from 0 to 10");
  EXPECT_EQ(MessageOf([&] { t.Integer(4, 1, 0, 10); }),
            "t.csv: line 6, column \"us\": found \"1.5\", expected a whole number");
}

TEST(MeasurementsTest, AMissingColumnNamesTheNearest) {
  const Measurements t("latency_us,m\n", "t.csv");
  EXPECT_EQ(MessageOf([&] { t.Column("latncy_us"); }),
            "t.csv: found no column \"latncy_us\" among latency_us, m, expected that column (did "
            "you mean "
            "\"latency_us\"?)");
}

TEST(MeasurementsTest, BrokenTablesAreRefused) {
  struct {
    const char* text;
    const char* error;
  } const cases[] = {
      {"", "t.csv: found no header line, expected column names"},
      {"# only a comment", "t.csv: found no header line, expected column names"},
      {"a,b\n1\n", "t.csv: line 2: found 1 fields, expected 2 as in the header"},
      {"a,b\n1,2,3\n", "t.csv: line 2: found 3 fields, expected 2 as in the header"},
      {"a,a\n", "t.csv: line 1: found column \"a\" twice, expected different column names"},
      {"a\n\"open\n", "t.csv: line 2: found a quote that is not closed, expected a closing \""},
      {"a\n\"x\"y\n",
       "t.csv: line 2: found text after a closing quote, expected a comma or the end of the line"},
  };
  for (const auto& c : cases) EXPECT_EQ(MessageOf([&] { Measurements(c.text, "t.csv"); }), c.error);
}

}  // namespace
}  // namespace moecast
