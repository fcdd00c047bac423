#include "base/units.h"

#include <gtest/gtest.h>

#include <concepts>

#include "base/dtype.h"

namespace moecast {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept Comparable = requires(A a, B b) {
  a < b;
};

static_assert(Addable<Bytes, Bytes>);
static_assert(!Addable<Bytes, Seconds>);
static_assert(!Addable<Bytes, double>);
static_assert(!Addable<Flops, FlopsPerSecond>);
static_assert(!Comparable<Seconds, Bytes>);
static_assert(!std::convertible_to<double, Bytes>);
static_assert(std::same_as<decltype(Bytes() / Seconds()), BytesPerSecond>);
static_assert(std::same_as<decltype(Flops() / FlopsPerSecond()), Seconds>);
static_assert(std::same_as<decltype(Bytes() / Bytes()), double>);

TEST(UnitsTest, BytesOverARateAreSeconds) {
  // 50 GB at 400 Gb/s = 50 GB/s take one second.
  const Seconds t = GB(50) / Gbps(400);
  EXPECT_EQ(t, Seconds(1));
  EXPECT_EQ(GBps(50), Gbps(400));
}

TEST(UnitsTest, BinaryUnitsArePowersOf1024AndDecimalOnesOf1000) {
  EXPECT_EQ(KiB(1).value, 1024);
  EXPECT_EQ(MiB(1).value, 1048576);
  EXPECT_EQ(GiB(1).value, 1073741824);
  EXPECT_EQ(MB(1).value, 1e6);
  EXPECT_EQ(GB(1).value, 1e9);
  EXPECT_EQ(Tflops(989).value, 989e12);
}

TEST(UnitsTest, QuantitiesOfOneKindAddCompareAndScale) {
  Bytes b = KiB(1);
  b += KiB(3);
  b -= KiB(2);
  EXPECT_EQ(b, Bytes(2048));
  EXPECT_EQ(2 * b, b + b);
  EXPECT_EQ(b / 2, KiB(1));
  EXPECT_EQ(MiB(1) / KiB(1), 1024);
  EXPECT_LT(MB(1), MiB(1));
  EXPECT_EQ(GBps(2) * Seconds(3), GB(6));
  EXPECT_EQ(GB(6) / Seconds(3), GBps(2));
}

TEST(DtypeTest, ABlockScaledElementCarriesAn128thOfItsScale) {
  EXPECT_EQ(ElementBytes(Dtype::kFp32), 4);
  EXPECT_EQ(ElementBytes(Dtype::kBf16), 2);
  EXPECT_EQ(ElementBytes(Dtype::kFp8), 1);
  EXPECT_EQ(ElementBytes(Dtype::kFp8Block) * 128, 128 + 4);
}

TEST(EnumNamesTest, EveryNameFindsItsValueAgain) {
  for (const auto& row : EnumNames<Dtype>::kNames)
    EXPECT_EQ(ByName<Dtype>(NameOf(row.value)), row.value);
  EXPECT_EQ(ByName<Dtype>("fp16"), std::nullopt);
}

}  // namespace
}  // namespace moecast
