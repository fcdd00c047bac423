#include "base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <set>

namespace moecast {
namespace {

TEST(RandomTest, IsSplitMix64) {
  // The first outputs for seed 0 of the authors' splitmix64.c (Vigna, prng.di.unimi.it).
  Random random(0);
  EXPECT_EQ(random.Next(), 0xe220a8397b1dcdafULL);
  EXPECT_EQ(random.Next(), 0x6e789e6aa1b965f4ULL);
  EXPECT_EQ(random.Next(), 0x06c45d188009454fULL);
}

TEST(RandomTest, UniformIsInZeroToOneWithItsMeanAndVariance) {
  Random random(7);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = random.Uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
  }
  // Standard error of the mean: sqrt(1/12 / 1e5) = 0.0009; five of them.
  EXPECT_NEAR(sum / kDraws, 0.5, 0.0046);
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.005);
}

TEST(RandomTest, BelowReachesEveryValueEquallyOften) {
  Random random(8);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) ++counts.at(random.Below(7));
  for (const int n : counts) EXPECT_NEAR(n, 10000, 5 * std::sqrt(10000.0));
  EXPECT_EQ(random.Below(1), 0u);
}

TEST(RandomTest, NormalHasMeanZeroAndVarianceOne) {
  Random random(9);
  constexpr int kDraws = 100000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double z = random.Normal();
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.016);       // five standard errors of 1/sqrt(1e5)
  EXPECT_NEAR(squares / kDraws, 1, 0.0224);  // five of sqrt(2/1e5)
}

TEST(NormalQuantileTest, GivesTheTabulatedQuantiles) {
  // To 9 decimals, from any table of the standard normal; both tails, the centre and the seams of
  // the approximation.
  const std::pair<double, double> kTable[] = {
      {0.5, 0.0},           {0.75, 0.674489750},  {0.9, 1.281551566},
      {0.95, 1.644853627},  {0.975, 1.959963985}, {0.99, 2.326347874},
      {0.999, 3.090232306}, {0.1, -1.281551566},  {1e-6, -4.753424309}};
  for (const auto& [p, z] : kTable)
    EXPECT_NEAR(NormalQuantile(p), z, 1e-9 + 2e-9 * std::fabs(z)) << p;
}

TEST(NormalQuantileTest, InvertsTheDistributionFunctionToItsStatedError) {
  for (int i = 1; i < 10000; ++i) {
    const double p = i / 10000.0, z = NormalQuantile(p);
    const double back = 0.5 * std::erfc(-z / std::sqrt(2.0));
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * 3.14159265358979);
    EXPECT_NEAR(back, p, density * std::max(1.2e-9 * std::fabs(z), 1e-12) + 1e-15) << p;
  }
}

TEST(NormalQuantileTest, IsMonotone) {
  double last = NormalQuantile(1e-12);
  for (int i = 1; i < 100000; ++i) {
    const double z = NormalQuantile(i / 100000.0);
    ASSERT_LT(last, z) << i;
    last = z;
  }
}

TEST(LatticeTest, EveryIntervalOfADimensionHoldsOnePoint) {
  const Lattice lattice(5);
  for (const int n : {1, 2, 64, 1024}) {
    const auto intervals = [n](const std::function<double(int)>& point) {
      std::set<int> hit;
      for (int i = 0; i < n; ++i)
        hit.insert(static_cast<int>(std::lround((point(i) - point(0) + 1) * n)) % n);
      return hit.size();
    };
    for (const int d : {0, 1, 17, 63})
      EXPECT_EQ(intervals([&](int i) { return lattice.Point(i, d); }), static_cast<size_t>(n));
    EXPECT_EQ(intervals([&](int i) { return lattice.KeyedPoint(i, 99); }), static_cast<size_t>(n));
  }
}

TEST(LatticeTest, SeedsShiftItAndNothingElseDoes) {
  EXPECT_EQ(Lattice(5).Point(3, 2), Lattice(5).Point(3, 2));
  EXPECT_NE(Lattice(5).Point(3, 2), Lattice(6).Point(3, 2));
  const auto step = [](uint64_t seed) {
    const double d = Lattice(seed).Point(3, 2) - Lattice(seed).Point(2, 2);
    return d < 0 ? d + 1 : d;
  };
  EXPECT_NEAR(step(5), step(6), 1e-9);
}

TEST(LatticeTest, FewPairsOfDimensionsAreCorrelated) {
  // Of orders that know nothing of each other a third are correlated by more than 1 / sqrt(n).
  constexpr int kPoints = 512;
  const Lattice lattice(1);
  int pairs = 0, correlated = 0;
  for (int a = 0; a < Lattice::kDimensions; ++a) {
    for (int b = a + 1; b < Lattice::kDimensions; ++b) {
      double sum = 0;
      for (int i = 0; i < kPoints; ++i)
        sum += (lattice.Point(i, a) - 0.5) * (lattice.Point(i, b) - 0.5);
      ++pairs;
      correlated += std::fabs(12 * sum / kPoints) > 1 / std::sqrt(kPoints);
    }
  }
  EXPECT_LT(correlated, pairs / 10);
}

TEST(KeyOfTest, DependsOnNameAndSeed) {
  EXPECT_EQ(KeyOf("a", 1), KeyOf("a", 1));
  EXPECT_NE(KeyOf("a", 1), KeyOf("b", 1));
  EXPECT_NE(KeyOf("a", 1), KeyOf("a", 2));
}

}  // namespace
}  // namespace moecast
