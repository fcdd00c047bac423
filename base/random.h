// Random numbers that are the same on every machine: SplitMix64 for pseudo-random streams, lattices
// for samples that fill their space evenly, and the normal quantile both use. The standard
// library's distributions are not used: their results differ between implementations.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace moecast {

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // Uniform in [0, n). REQUIRES: n > 0. The bias, n / 2^64, is far below anything we measure.
  uint64_t Below(uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Wide>(Next()) * n) >> 64);
  }
  double Normal();

 private:
  uint64_t state_;
};

// Quantile of the standard normal distribution, relative error below 1.2e-9 (P. J. Acklam's
// rational approximation). REQUIRES: 0 < p < 1.
double NormalQuantile(double p);

// Points that fill a unit cube evenly: a rank-1 lattice in radical inverse order with the
// generating vector of Cools, Kuo and Nuyens (SIAM J. Sci. Comput. 28, 2006), made so that every
// two dimensions fill their square, for its first kDimensions, each shifted by a number drawn from
// the seed. Where n is a power of two the first n points of a dimension lie in n equal intervals.
class Lattice {
 public:
  static constexpr int kDimensions = 64;

  explicit Lattice(uint64_t seed) : seed_(seed) {}
  // Point i in (0, 1) of a dimension. REQUIRES: i >= 0, 0 <= dimension < kDimensions.
  double Point(int i, int dimension) const;
  // The same of one of any number of further dimensions, whose generator is drawn from its key: a
  // pair of them may lie badly, many pairs do not.
  double KeyedPoint(int i, uint64_t key) const { return Point(Reversed(i), KeyedDimension(key)); }

  // For many points of many dimensions: what is found of a dimension once, and of a point once.
  struct Dimension {
    uint32_t generator = 0;
    uint32_t shift = 0;
  };
  Dimension KeyedDimension(uint64_t key) const;
  // The bits of a point's number from the last to the first.
  static uint32_t Reversed(int i);
  // In units of 2^-32, which wrap.
  static double Point(uint32_t reversed, const Dimension& dimension) {
    return (static_cast<uint32_t>(reversed * dimension.generator + dimension.shift) + 0.5) *
           0x1.0p-32;
  }

 private:
  Dimension Shifted(uint64_t generator, uint64_t key) const;
  uint64_t seed_;
};

// A key from a name, so that the same quantity gets the same draws wherever it occurs (FNV-1a,
// mixed with the seed).
uint64_t KeyOf(std::string_view name, uint64_t seed);

}  // namespace moecast
