#include "scenarios/calibrate/check.h"

#include "base/error.h"
#include "costmodel/calibration/tables.h"
#include "scenarios/calibration_loader.h"

namespace moecast {

std::vector<CheckedTable> CheckCalibrations(const std::string& directory,
                                            const Device& measured_on) {
  const Machine machine = MachineOf(measured_on);
  std::vector<CheckedTable> checked;
  for (const std::string& stack : CalibrationStacks(directory)) {
    const std::string json = stack + "/calibration.json";
    const CalibrationFile file =
        ParseCalibrationFile(CalibrationText(json, directory).value_or(""), json);
    for (const TableRecord& record : file.tables) {
      const TableKind* kind = FindTableKind(record.name);
      if (!kind) continue;  // no table of curves, or unknown: an estimate says so
      const auto table_of = [&](const std::string& name) {
        const std::string path = stack + "/" + name;
        const std::optional<std::string> text = CalibrationText(path, directory);
        if (!text)
          throw UserError(
              {.file = path, .value = "no such table", .expected = "as " + json + " lists"});
        return ParseCurveTable(Measurements(*text, path), *kind, HeadsOf(record, *kind, json));
      };
      const CurveTable table = table_of(record.file);
      CheckedTable c{record.name,
                     stack,
                     std::string(kind->axis),
                     table.points(),
                     EvaluateLeftOut(*kind, table, machine),
                     {}};
      if (!record.compared_file.empty())
        c.compared = EngineDisagreement(table, table_of(record.compared_file), c.left_out.levels);
      checked.push_back(std::move(c));
    }
  }
  if (checked.empty())
    throw UserError(
        {.file = directory, .value = "no table", .expected = "folders of `calibrate import`"});
  return checked;
}

}  // namespace moecast
