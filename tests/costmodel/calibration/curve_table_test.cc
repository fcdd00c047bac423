#include "costmodel/calibration/curve_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace moecast {
namespace {

TEST(CurveTableTest, PrintingWhatWasParsedGivesTheText) {
  const std::string text = "# a comment\nn,k,m=1,m=64\n256,512,3.142,4\n256,1024,,123500\n";
  const CurveTable t =
      ParseCurveTable(Measurements(text, "t.csv"), std::vector<std::string_view>{"n", "k"}, "m");
  EXPECT_EQ(t.points(), 3u);
  EXPECT_TRUE(std::isnan(t.At(1, 0)));
  EXPECT_EQ(PrintCurveTable(t, std::vector<std::string>{"a comment"}), text);
}

TEST(CurveTableTest, BrokenTablesAreRefused) {
  const std::vector<std::string_view> keys = {"n", "k"};
  const auto parse = [&](const char* text) {
    return ParseCurveTable(Measurements(text, "t.csv"), keys, "m");
  };
  EXPECT_THROW(parse("n,m=1\n1,2\n"), UserError);            // no k
  EXPECT_THROW(parse("n,k\n1,2\n"), UserError);              // no m
  EXPECT_THROW(parse("n,k,m=2,m=1\n1,2,3,4\n"), UserError);  // not ascending
  EXPECT_THROW(parse("n,k,m=0\n1,2,3\n"), UserError);
  EXPECT_THROW(parse("n,k,x\n1,2,3\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\n1,2,-3\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\n1,2,nan\n"), UserError);
  EXPECT_THROW(parse("n,k,m=1\na,2,3\n"), UserError);
}

}  // namespace
}  // namespace moecast
