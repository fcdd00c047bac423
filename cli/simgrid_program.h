// moecast-simgrid, the program behind `--level simgrid`.
#pragma once

#include <memory>
#include <string>

#include "base/child_process.h"
#include "sim/network/level.h"

namespace moecast {

// Starts the program that the level needs; null for levels that need none. Throws UserError where
// it is not beside moecast.
std::unique_ptr<ChildProcess> StartHelper(Level level);

}  // namespace moecast
