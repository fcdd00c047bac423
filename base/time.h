// Time of the event engine: an integer count of picoseconds, so that sums do not depend on their
// order and the same inputs give the same output on every machine. Reaches 106 days. Seconds become
// Time in one place, Time::From.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>
#include <tuple>

#include "base/check.h"
#include "base/units.h"

namespace moecast {

struct Time {
  int64_t ps = 0;

  // REQUIRES: 0 <= s < 9.2e6 seconds. Rounds to the nearest picosecond.
  static Time From(Seconds s) {
    MOECAST_CHECK(s.value >= 0 && s.value < 9.2e6);
    return Time{std::llround(s.value * 1e12)};
  }
  constexpr Seconds seconds() const { return Seconds(static_cast<double>(ps) * 1e-12); }

  constexpr Time& operator+=(Time o) { return ps += o.ps, *this; }
  friend constexpr Time operator+(Time a, Time b) { return Time{a.ps + b.ps}; }
  friend constexpr Time operator-(Time a, Time b) { return Time{a.ps - b.ps}; }
  friend constexpr Time operator*(Time a, int64_t n) { return Time{a.ps * n}; }
  friend constexpr auto operator<=>(Time, Time) = default;
};

inline auto MembersOf(const Time& time) {
  return std::tie(time.ps);
}

// Later than every event; "does not happen".
inline constexpr Time kNever{std::numeric_limits<int64_t>::max()};

}  // namespace moecast
