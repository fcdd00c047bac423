// The public collections that calibrations are imported from: which of their files and columns make
// which table. docs/model-operators.md lists them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "costmodel/calibration/table_kinds.h"
#include "traces/measurements.h"

namespace moecast {

// A file's name taken apart: DEVICE_TABLE_ENGINE_VERSION.csv.
struct SourceName {
  std::string table, engine, version;
};
// Nothing for a name of another form.
std::optional<SourceName> TakeApart(std::string_view file);

// Whether points of some table come from files of this name.
bool IsMeasuredTable(std::string_view table);

struct Source {
  SourceName name;
  Measurements table;
};

// What one engine took, in microseconds.
struct EngineTable {
  CurveTable table;
  std::string engine, version;
};

// A table with the engine that was chosen for it, and with the one it is compared with where both
// measured it.
struct MeasuredTable {
  EngineTable table;
  std::optional<EngineTable> compared;
};

// Nothing where no source has the table. Throws UserError: a missing column, a field that is no
// number.
std::optional<MeasuredTable> ReadMeasured(std::span<const Source> sources, const TableKind& kind);

}  // namespace moecast
