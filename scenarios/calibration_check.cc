#include "scenarios/calibration_check.h"

#include "base/error.h"
#include "scenarios/calibration_loader.h"

namespace moecast {

std::vector<CheckedTable> CheckCalibrations(const std::string& directory, const Device& measured_on) {
  const Machine machine = MachineOf(measured_on);
  std::vector<CheckedTable> checked;
  for (const std::string& stack : CalibrationStacks(directory)) {
    for (const TableKind& kind : TableKinds()) {
      const std::string path = stack + "/" + std::string(kind.name) + ".csv";
      const std::optional<std::string> text = CalibrationText(path, directory);
      if (!text) continue;
      const CurveTable table = ParseCurveTable(Measurements(*text, path), kind.keys, kind.axis);
      checked.push_back({std::string(kind.name), stack, std::string(kind.axis), table.points(),
                         EvaluateLeftOut(kind, table, machine)});
    }
  }
  if (checked.empty())
    throw UserError({.file = directory, .value = "no table", .expected = "folders of `calibrate import`"});
  return checked;
}

}  // namespace moecast
