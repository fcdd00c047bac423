// The network levels by name, and the network of a level.
#pragma once

#include <memory>
#include <span>

#include "base/child_process.h"
#include "base/enum_names.h"
#include "sim/network/network.h"

namespace moecast {

enum class Level : uint8_t { kAnalytic, kFluid, kSimgrid };
template <>
struct EnumNames<Level> {
  static constexpr EnumName<Level> kNames[] = {
      {Level::kAnalytic, "analytic"}, {Level::kFluid, "fluid"}, {Level::kSimgrid, "simgrid"}};
};

// With links of these rates, by LinkId, and nothing under way. `helper` runs moecast-simgrid; of
// the level simgrid alone, null otherwise. Throws UserError where it is of another version.
std::unique_ptr<Network> MakeNetwork(Level level, std::span<const BytesPerSecond> capacity,
                                     std::unique_ptr<ChildProcess> helper = nullptr);

}  // namespace moecast
