// `moecast calibrate import`: measured tables of public collections, text in, calibrations in our
// own compact form, text out. docs/model-operators.md lists the accepted files and columns.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "costmodel/calibration/judge/left_out.h"
#include "topology/device.h"

namespace moecast {

struct TextFile {
  std::string path;  // its name alone for a source; "2025/gemm_bf16.csv" for a result
  std::string text;
};

struct ImportedTable {
  std::string name;
  size_t points = 0;
  LeftOut left_out;
  Disagreement compared;  // with another engine's table, where there is one
};

struct ImportedCalibrations {
  std::vector<TextFile>
      files;  // calibration.json and tables of the stacks 2025 and 2024h1, by path
  std::vector<ImportedTable> tables;
  std::vector<std::string> ignored;  // sources that no table is made of
};

// Files are told apart by their names, DEVICE_TABLE_ENGINE_VERSION.csv. `measured_on` is the device
// they were measured on. What no measurement says (reasoned numbers, what a whole step takes beyond
// its kernels) is the built-in calibration's. Throws UserError: no known table among them, a
// missing column, a field that is no number.
ImportedCalibrations ImportCalibrations(std::span<const TextFile> files, const Device& measured_on);

}  // namespace moecast
