#include "base/random.h"

#include <cmath>

#include "base/check.h"

namespace moecast {
double Random::Normal() {
  double u = Uniform();
  while (u == 0) u = Uniform();
  return NormalQuantile(u);
}

double NormalQuantile(double p) {
  MOECAST_CHECK(p > 0 && p < 1);
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                                 -2.759285104469687e+02, 1.383577518672690e+02,
                                 -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                                 -1.556989798598866e+02, 6.680131188771972e+01,
                                 -1.328068155288572e+01};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                                 -2.400758277161838e+00, -2.549732539343734e+00,
                                 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01,
                                 2.445134137142996e+00, 3.754408661907416e+00};
  constexpr double kLow = 0.02425;
  const auto tail = [](double q) {
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  };
  if (p < kLow) return tail(std::sqrt(-2 * std::log(p)));
  if (p > 1 - kLow) return -tail(std::sqrt(-2 * std::log(1 - p)));
  const double q = p - 0.5, r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

namespace {
constexpr uint32_t kGenerators[Lattice::kDimensions] = {
    1,      182667, 469891, 498753, 110745, 446247, 250185, 118627, 245333, 283199, 408519,
    391023, 246327, 126539, 399185, 461527, 300343, 69681,  516695, 436179, 106383, 238523,
    413283, 70841,  47719,  300129, 113029, 123925, 410745, 211325, 17489,  511893, 40767,
    186077, 519471, 255369, 101819, 243573, 66189,  152143, 503455, 113217, 132603, 463967,
    297717, 157383, 224015, 502917, 36237,  94049,  170665, 79397,  123963, 223451, 323871,
    303633, 98567,  318855, 494245, 477137, 177975, 64483,  26695,  88779};
}  // namespace

uint32_t Lattice::Reversed(int i) {
  uint32_t reversed = 0;
  for (uint32_t bits = static_cast<uint32_t>(i), place = 1u << 31; bits; bits >>= 1, place >>= 1)
    if (bits & 1) reversed |= place;
  return reversed;
}

Lattice::Dimension Lattice::Shifted(uint64_t generator, uint64_t key) const {
  return {static_cast<uint32_t>(generator),
          static_cast<uint32_t>(Random(key ^ seed_).Next() >> 32)};
}

double Lattice::Point(int i, int dimension) const {
  MOECAST_CHECK(i >= 0 && dimension >= 0 && dimension < kDimensions);
  const auto key = static_cast<uint64_t>(dimension);
  return Point(Reversed(i), Shifted(kGenerators[dimension], Random(key).Next()));
}

Lattice::Dimension Lattice::KeyedDimension(uint64_t key) const {
  return Shifted(Random(key).Next() | 1, key);
}

uint64_t KeyOf(std::string_view name, uint64_t seed) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Random(hash ^ (seed * 0x9e3779b97f4a7c15ULL)).Next();
}

}  // namespace moecast
