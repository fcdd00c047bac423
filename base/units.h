// Strong types for the quantities of the model, each a double in its base unit (bytes, seconds,
// flops, bytes per second, flops per second, US dollars). `Seconds t = MiB(64) / Gbps(400);`
// compiles, `Bytes + Seconds` does not. Hot loops strip the type with .value. Text with units
// ("16MiB", "400Gb/s") is base/quantity_text.h.
#pragma once

#include <compare>

namespace moecast {

template <class Tag>
struct Quantity {
  double value = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : value(v) {}
  constexpr Quantity& operator+=(Quantity o) { return value += o.value, *this; }
  constexpr Quantity& operator-=(Quantity o) { return value -= o.value, *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value + b.value);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value - b.value);
  }
  friend constexpr Quantity operator*(Quantity a, double k) { return Quantity(a.value * k); }
  friend constexpr Quantity operator*(double k, Quantity a) { return Quantity(a.value * k); }
  friend constexpr Quantity operator/(Quantity a, double k) { return Quantity(a.value / k); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.value / b.value; }
  friend constexpr auto operator<=>(Quantity, Quantity) = default;
};

using Bytes = Quantity<struct BytesTag>;
using Seconds = Quantity<struct SecondsTag>;
using Flops = Quantity<struct FlopsTag>;  // a count of floating-point operations
using BytesPerSecond = Quantity<struct BytesPerSecondTag>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag>;
using Usd = Quantity<struct UsdTag>;
using Count = Quantity<struct CountTag>;  // of tokens, where they number in trillions

constexpr Seconds operator/(Bytes b, BytesPerSecond r) {
  return Seconds(b.value / r.value);
}
constexpr Seconds operator/(Flops f, FlopsPerSecond r) {
  return Seconds(f.value / r.value);
}
constexpr BytesPerSecond operator/(Bytes b, Seconds s) {
  return BytesPerSecond(b.value / s.value);
}
constexpr FlopsPerSecond operator/(Flops f, Seconds s) {
  return FlopsPerSecond(f.value / s.value);
}
constexpr Bytes operator*(BytesPerSecond r, Seconds s) {
  return Bytes(r.value * s.value);
}
constexpr Bytes operator*(Seconds s, BytesPerSecond r) {
  return r * s;
}

constexpr Bytes KiB(double n) {
  return Bytes(n * 1024);
}
constexpr Bytes MiB(double n) {
  return Bytes(n * 1024 * 1024);
}
constexpr Bytes GiB(double n) {
  return Bytes(n * 1024 * 1024 * 1024);
}
constexpr Bytes MB(double n) {
  return Bytes(n * 1e6);
}
constexpr Bytes GB(double n) {
  return Bytes(n * 1e9);
}
constexpr Seconds Microseconds(double n) {
  return Seconds(n * 1e-6);
}
constexpr Seconds Milliseconds(double n) {
  return Seconds(n * 1e-3);
}
constexpr Seconds Hours(double n) {
  return Seconds(n * 3600);
}
constexpr BytesPerSecond GBps(double n) {
  return BytesPerSecond(n * 1e9);
}
constexpr BytesPerSecond Gbps(double n) {
  return BytesPerSecond(n * 1e9 / 8);
}
constexpr FlopsPerSecond Tflops(double n) {
  return FlopsPerSecond(n * 1e12);
}

}  // namespace moecast
