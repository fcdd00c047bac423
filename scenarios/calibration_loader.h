// Builds a Calibration from the built-in data or from a directory of `calibrate import`.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "costmodel/calibration/calibration.h"

namespace moecast {

// `directory` "" is the built-in data; else it has a folder a stack. Throws UserError: no such
// directory, an unknown stack (it lists the ones there are), a broken calibration.json; a broken
// table when an estimate first needs it.
Calibration LoadCalibration(const Device& device, std::string_view stack,
                            const std::string& directory = "");

// The stacks of the built-in data or of a directory, sorted.
std::vector<std::string> CalibrationStacks(const std::string& directory = "");

// The text of a file of a calibration ("2025/gemm_bf16.csv"), or nothing where there is none.
std::optional<std::string> CalibrationText(std::string_view path,
                                           const std::string& directory = "");

}  // namespace moecast
