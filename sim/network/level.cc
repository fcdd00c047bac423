#include "sim/network/level.h"

#include "base/check.h"
#include "sim/network/analytic_network.h"
#include "sim/network/fluid_network.h"
#include "sim/network/simgrid_network.h"

namespace moecast {

std::unique_ptr<Network> MakeNetwork(Level level, std::span<const BytesPerSecond> capacity,
                                     std::unique_ptr<ChildProcess> helper) {
  MOECAST_CHECK((helper != nullptr) == (level == Level::kSimgrid));
  switch (level) {
    case Level::kAnalytic:
      return std::make_unique<AnalyticNetwork>(capacity);
    case Level::kFluid:
      return std::make_unique<FluidNetwork>(capacity);
    case Level::kSimgrid:
      return std::make_unique<SimgridNetwork>(std::move(helper), capacity);
  }
  MOECAST_CHECK(false);
}

}  // namespace moecast
