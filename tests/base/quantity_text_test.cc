#include "base/quantity_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "base/random.h"

namespace moecast {
namespace {

template <class Q>
void Check(std::initializer_list<std::pair<const char*, double>> rows,
           std::optional<Q> (*parse)(std::string_view)) {
  for (const auto& [text, value] : rows) {
    const auto got = parse(text);
    ASSERT_TRUE(got) << text;
    EXPECT_DOUBLE_EQ(got->value, value) << text;
  }
}

TEST(QuantityTextTest, EveryUnitHasItsScale) {
  Check<Bytes>({{"0B", 0},
                {"1B", 1},
                {"2KB", 2e3},
                {"3MB", 3e6},
                {"4GB", 4e9},
                {"5TB", 5e12},
                {"1KiB", 1024},
                {"16MiB", 16777216},
                {"1GiB", 1073741824},
                {"2TiB", 2199023255552.0},
                {" 1.5 GB ", 1.5e9}},
               ParseBytes);
  Check<Seconds>({{"1ps", 1e-12},
                  {"2ns", 2e-9},
                  {"3us", 3e-6},
                  {"18.5ms", 0.0185},
                  {"7s", 7},
                  {"2min", 120},
                  {"1h", 3600},
                  {"2d", 172800}},
                 ParseSeconds);
  Check<BytesPerSecond>({{"1B/s", 1},
                         {"1KB/s", 1e3},
                         {"1MB/s", 1e6},
                         {"50GB/s", 50e9},
                         {"400Gb/s", 50e9},
                         {"3.35TB/s", 3.35e12},
                         {"8Kb/s", 1e3},
                         {"8Mb/s", 1e6},
                         {"8Tb/s", 1e12},
                         {"1MiB/s", 1048576},
                         {"1GiB/s", 1073741824}},
                        ParseRate);
  Check<FlopsPerSecond>(
      {{"1FLOP/s", 1}, {"2GFLOP/s", 2e9}, {"989TFLOP/s", 989e12}, {"2PFLOP/s", 2e15}},
      ParseFlopRate);
  Check<Count>({{"7", 7},
                {"2K", 2e3},
                {"3M", 3e6},
                {"236B", 236e9},
                {"8.1T", 8.1e12},
                {"8.1T tokens", 8.1e12},
                {"1e3 tokens", 1e3}},
               ParseCount);
}

TEST(QuantityTextTest, WhatIsNoQuantityHasNoValue) {
  for (const char* text :
       {"", " ", "1", "B", "1b", "1 byte", "1GB/s", "1GBs", "x1GB", "1GB x", "nanGB", "infGB",
        "1e999B", "1e300TB1", "0x10B", "--1B", "+1B", "1,5GB", "1GiB\n"}) {
    EXPECT_FALSE(ParseBytes(text)) << text;
  }
  for (const char* text : {"1", "1m", "1S", "1 sec", "1e308d"})
    EXPECT_FALSE(ParseSeconds(text)) << text;
  for (const char* text : {"1", "1GB", "400G/s", "1gb/s"}) EXPECT_FALSE(ParseRate(text)) << text;
  for (const char* text : {"1", "1TFLOPS", "1TFLOP"}) EXPECT_FALSE(ParseFlopRate(text)) << text;
  for (const char* text : {"", "T", "1 Ttokens more", "tokens", "1Q", "1k"})
    EXPECT_FALSE(ParseCount(text)) << text;
  for (const char* text : {"", "1 2", "nan", "inf", "1e999", "1s"})
    EXPECT_FALSE(ParseNumber(text)) << text;
}

TEST(QuantityTextTest, PrintingChoosesTheShortestExactText) {
  EXPECT_EQ(PrintBytes(MiB(16)), "16MiB");
  EXPECT_EQ(PrintBytes(GB(2)), "2GB");
  EXPECT_EQ(PrintBytes(Bytes(0)), "0B");
  EXPECT_EQ(PrintSeconds(Milliseconds(18.5)), "18.5ms");
  EXPECT_EQ(PrintSeconds(Seconds(7200)), "2h");
  EXPECT_EQ(PrintRate(GBps(50)), "50GB/s");
  EXPECT_EQ(PrintFlopRate(Tflops(989)), "989TFLOP/s");
  EXPECT_EQ(PrintCount(Count(8.1e12)), "8.1T");
  EXPECT_EQ(PrintCount(Count(2048)), "2048");
}

TEST(QuantityTextTest, ParsingWhatWasPrintedGivesTheValueBackForEveryMagnitude) {
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    // Half round numbers as people write them, half any bits at all.
    const double scale = std::pow(10.0, static_cast<double>(random.Below(36)) - 15);
    double x = static_cast<double>(random.Below(100000)) * scale;
    if (i % 2 == 0) x = std::bit_cast<double>(random.Next());
    if (!std::isfinite(x)) continue;
    EXPECT_EQ(ParseBytes(PrintBytes(Bytes(x))), Bytes(x)) << x;
    EXPECT_EQ(ParseSeconds(PrintSeconds(Seconds(x))), Seconds(x)) << x;
    EXPECT_EQ(ParseRate(PrintRate(BytesPerSecond(x))), BytesPerSecond(x)) << x;
    EXPECT_EQ(ParseFlopRate(PrintFlopRate(FlopsPerSecond(x))), FlopsPerSecond(x)) << x;
    EXPECT_EQ(ParseCount(PrintCount(Count(x))), Count(x)) << x;
  }
}

TEST(QuantityTextTest, ShownTextHasTheAskedDigitsAndAFittingUnit) {
  EXPECT_EQ(ShowBytes(GiB(68.2)), "68.2 GiB");
  EXPECT_EQ(ShowBytes(Bytes(0)), "0 B");
  EXPECT_EQ(ShowBytes(MiB(-3)), "-3.00 MiB");
  EXPECT_EQ(ShowSeconds(Milliseconds(12.44)), "12.4 ms");
  EXPECT_EQ(ShowSeconds(Seconds(0.9999)), "1.000 s");  // not 1000 ms
  EXPECT_EQ(ShowSeconds(Seconds(1e-9)), "1.00 ns");
  EXPECT_EQ(ShowCount(172800), "172.8 K");
  EXPECT_EQ(ShowCount(12), "12.00");
  EXPECT_EQ(ShowNumber(0), "0");
  EXPECT_EQ(ShowNumber(42.534), "42.5");
  EXPECT_EQ(ShowNumber(123456), "123456");
}

}  // namespace
}  // namespace moecast
