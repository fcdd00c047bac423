#include "costmodel/calibration/attention_by_length.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

TEST(AttentionByLengthTest, FillsInProportion) {
  CurveTable t;
  t.keys = {"engine", "phase", "causal", "head_dim"};
  t.axis = "sequence";
  t.axis_values = {1024, 4096};
  t.rows = {{"A", "forward", "no", "128"},
            {"A", "forward", "no", "256"},
            {"A", "forward", "yes", "128"},
            {"A", "backward", "no", "128"}};
  t.values = {400, 400, 100, 100, 200, 300, 240, 320};
  const AttentionByLength rates(t, "t.csv");
  EXPECT_DOUBLE_EQ(rates.At("A", false, true, 128, 1024).flops_per_second, 200e12);
  EXPECT_FALSE(rates.At("A", false, true, 128, 1024).extrapolated);
  // half way in logarithms between lengths: sqrt(200 * 300)
  EXPECT_NEAR(rates.At("A", false, true, 128, 2048).flops_per_second, std::sqrt(200.0 * 300) * 1e12,
              1);
  // causal backward: 240 * 200 / 400; wide causal forward: 200 * 100 / 400
  EXPECT_DOUBLE_EQ(rates.At("A", true, true, 128, 1024).flops_per_second, 120e12);
  EXPECT_TRUE(rates.At("A", true, true, 128, 1024).extrapolated);
  EXPECT_DOUBLE_EQ(rates.At("A", false, true, 256, 1024).flops_per_second, 50e12);
  EXPECT_THROW(rates.At("B", false, true, 128, 1024), UserError);
  EXPECT_EQ(rates.WidestBackward("A"), 128);
}

TEST(AttentionByLengthTest, AnEngineWithoutBackwardRatesIsAnErrorThatListsThoseWithThem) {
  CurveTable t;
  t.keys = {"engine", "phase", "causal", "head_dim"};
  t.axis = "sequence";
  t.axis_values = {1024};
  t.rows = {
      {"A", "forward", "no", "128"}, {"B", "forward", "no", "128"}, {"B", "backward", "no", "128"}};
  t.values = {400, 400, 300};
  const AttentionByLength rates(t, "t.csv");
  const std::string error = "t.csv: found no non-causal backward rates of \"A\", expected one of B";
  EXPECT_EQ(MessageOf([&] { rates.At("A", true, true, 128, 1024); }), error);
  EXPECT_EQ(MessageOf([&] { rates.WidestBackward("A"); }), error);
}

}  // namespace
}  // namespace moecast
