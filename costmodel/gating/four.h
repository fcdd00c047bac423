// Four floats at a time, or eight, by the vector types that g++ and clang share, and exp and log of
// them by the polynomials of S. L. Moshier's Cephes library (exp2f.c, logf.c): no branches, no
// tables, and the same bits on every machine, which the C library does not promise. Errors:
// tests/costmodel/gating_test.cc.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace moecast {

// Inlined, so that who calls it decides for which machine it is compiled.
#define MOECAST_INLINE __attribute__((always_inline)) inline

// Below every score.
constexpr float kLowest = -std::numeric_limits<float>::infinity();

using Four = float __attribute__((vector_size(16)));
using FourInts = int32_t __attribute__((vector_size(16)));

MOECAST_INLINE Four Fill(float x) {
  return Four{x, x, x, x};
}
MOECAST_INLINE Four Load(const float* x) {
  Four v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
MOECAST_INLINE void Store(float* x, Four v) {
  std::memcpy(x, &v, sizeof v);
}
MOECAST_INLINE Four Max(Four a, Four b) {
  return a > b ? a : b;
}
MOECAST_INLINE Four Min(Four a, Four b) {
  return a < b ? a : b;
}

// f of each of n floats, in place.
template <class Function>
void ForEachFour(float* x, int n, Function f) {
  int i = 0;
  for (; i + 4 <= n; i += 4) Store(x + i, f(Load(x + i)));
  if (i == n) return;
  Four rest = Fill(1);
  std::memcpy(&rest, x + i, sizeof(float) * (n - i));
  rest = f(rest);
  std::memcpy(x + i, &rest, sizeof(float) * (n - i));
}

// The n floats combined into four, each of every fourth: `start` for none.
template <class Function>
MOECAST_INLINE Four Combined(const float* x, int n, float start, Function combine) {
  Four a = Fill(start), b = a;
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    a = combine(a, Load(x + i));
    b = combine(b, Load(x + i + 4));
  }
  a = combine(a, b);
  for (; i + 4 <= n; i += 4) a = combine(a, Load(x + i));
  if (i == n) return a;
  Four rest = Fill(start);
  std::memcpy(&rest, x + i, sizeof(float) * (n - i));
  return combine(a, rest);
}

MOECAST_INLINE float Sum(const float* x, int n) {
  const Four s = Combined(x, n, 0, [](Four a, Four b) { return a + b; });
  return (s[0] + s[2]) + (s[1] + s[3]);
}

// Eight at a time, given by reference: how vectors of that size are passed depends on the
// machine's.
using Eight = float __attribute__((vector_size(32)));

MOECAST_INLINE void FillWith(float value, Eight& x) {
  x = Eight{value, value, value, value, value, value, value, value};
}
// n of them, at most eight, and `rest` for the others.
MOECAST_INLINE void LoadFrom(const float* from, int n, float rest, Eight& x) {
  if (n < 8) FillWith(rest, x);
  std::memcpy(&x, from, n == 8 ? sizeof x : sizeof(float) * n);
}
MOECAST_INLINE void StoreTo(const Eight& x, int n, float* to) {
  std::memcpy(to, &x, n == 8 ? sizeof x : sizeof(float) * n);
}

// e^x by 2^(x / ln 2). REQUIRES: x <= 88. Below -87 it is exp(-87), 1.6e-38. x / ln 2 is rounded,
// so the relative error grows to 4e-6 at -87.
template <class Vector>
MOECAST_INLINE void RaiseE(Vector& x) {
  using Ints = decltype(x > x);  // of 32 bits each
  const Vector zero{}, least = zero - 87.0f;
  // Adding 1.5 * 2^23 rounds to a whole number, which is then in the low bits; shifted into the
  // exponent.
  const Vector power = (x > least ? x : least) * 1.44269504088896341f,
               shifted = power + 12582912.0f;
  const Vector r = power - (shifted - 12582912.0f);
  Vector p = zero + 1.535336188319500e-4f;
  p = p * r + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.0f;
  x = (Vector)((Ints)p + ((Ints)shifted << 23));
}
inline Four Exp(Four x) {
  RaiseE(x);
  return x;
}

// REQUIRES: x > 0, finite and not subnormal.
inline Four Log(Four x) {
  constexpr int32_t kSqrtHalf =
      0x3f3504f3;  // the bits of sqrt(1/2): the mantissa is in [0.71, 1.41)
  const FourInts bits = (FourInts)x, exponent = (bits - kSqrtHalf) >> 23;
  const Four m = (Four)(bits - (exponent << 23)) - 1.0f,
             e = __builtin_convertvector(exponent, Four);
  Four p = Fill(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const Four square = m * m;
  return (m + (p * m * square - e * 2.12194440e-4f - 0.5f * square)) + e * 0.693359375f;
}

}  // namespace moecast
