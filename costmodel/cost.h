// What an operator costs: a median time and how far it may be off, with where the figure came from.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "base/enum_names.h"
#include "base/units.h"
#include "costmodel/source.h"

namespace moecast {

enum class Bound : uint8_t { kCompute, kMemory, kLatency };

template <>
struct EnumNames<Bound> {
  static constexpr EnumName<Bound> kNames[] = {
      {Bound::kCompute, "compute"}, {Bound::kMemory, "memory"}, {Bound::kLatency, "latency"}};
};

// What an op takes longest on: with more of it the op would be faster. kLaunch: of nothing that a
// faster device has more of.
enum class Resource : uint8_t { kLaunch, kCompute, kHbm, kPcie, kHost, kNvlink, kNetwork };
constexpr bool IsKernel(Resource resource) {
  return resource <= Resource::kHbm;
}
// Of a kernel.
constexpr Resource ResourceOf(Bound bound) {
  return bound == Bound::kCompute  ? Resource::kCompute
         : bound == Bound::kMemory ? Resource::kHbm
                                   : Resource::kLaunch;
}

// Errors are log-normal and come at three levels: `sigma_table` is shared by every estimate with
// the same `source`, `sigma_curve` by every estimate on the same `curve` (all m of one weight, all
// contexts of one batch, in whatever layer, pass or model), `sigma_own` belongs to this estimate
// alone.
struct Cost {
  Seconds time;            // median
  double sigma_table = 0;  // standard deviation of ln(time), common to the source
  double sigma_curve = 0;
  double sigma_own = 0;
  Seconds gap;  // of `time`: around the kernel, where no faster device helps
  double utilisation =
      0;  // of the device's peak in the operator's format: its flops over time and peak
  uint64_t curve = 0;  // a hash of the table's name and the curve's key; 0 where there is no curve
  SourceId source{};   // of OpCosts::sources()
  Bound bound = Bound::kLatency;
  Resource resource = Resource::kLaunch;  // OpCosts sets it
  bool extrapolated = false;              // outside the measured range, or no measurement at all
};

// Of all three levels together.
inline double SigmaOf(const Cost& cost) {
  return std::hypot(cost.sigma_table, cost.sigma_curve, cost.sigma_own);
}

}  // namespace moecast
