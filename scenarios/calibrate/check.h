// `moecast calibrate check`: how well each table of a calibration is estimated where it has no
// measurement.
#pragma once

#include <string>
#include <vector>

#include "costmodel/calibration/judge/left_out.h"
#include "topology/device.h"

namespace moecast {

struct CheckedTable {
  std::string name;
  std::string stack;
  std::string axis;  // what the bands count
  size_t points = 0;
  LeftOut left_out;
  Disagreement compared;  // with another engine's table, where the calibration keeps one
};

// Every table of the built-in calibrations (`directory` "") or of those of a directory.
// `measured_on` is the device of the tables. Throws UserError: no calibrations there, a broken
// table.
std::vector<CheckedTable> CheckCalibrations(const std::string& directory,
                                            const Device& measured_on);

}  // namespace moecast
