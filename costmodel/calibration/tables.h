// The tables of one calibration: records read when it is made, each table parsed when a query first
// needs it, by whichever thread asks first. For those who make and judge calibrations; estimates
// are asked of calibration.h.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "costmodel/calibration/attention_by_length.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/calibration_file.h"
#include "costmodel/calibration/table_kinds.h"

namespace moecast {

enum class ReasonedId : uint8_t {
  kMainGradExposed,
  kWgrad,
  kWgradFp8Block,
  kGemmBf16,
  kGroupedBf16,
  kGroupedFp8,
  kGroupedFp8Block,
  kAttentionByLength,
  kAttentionBackward,
  kAttentionWideHeads,
  kElementwiseLaunchUs,
  kElementwise,  // the first of one for each ElementwiseKind, "elementwise_" and its name
};
inline constexpr int kElementwiseKinds =
    static_cast<int>(std::size(EnumNames<ElementwiseKind>::kNames));
inline constexpr int kReasonedCount =
    static_cast<int>(ReasonedId::kElementwise) + kElementwiseKinds;
std::string ReasonedName(int id);

// The head sizes that a record says its table was measured with; none of a table that is not of
// attention. Throws UserError where the record of one of attention says none; `file` is the
// calibration.json.
HeadSizes HeadsOf(const TableRecord& record, const TableKind& kind, const std::string& file);

class CalibrationTables {
 public:
  CalibrationTables(const Device& device, std::string_view stack, Calibration::Reader read);

  struct Reasoned {
    ReasonedRecord record;
    SourceId source{};
  };
  struct Table {
    TableRecord record;
    std::string path;  // for the reader
    SourceId source{};
    bool present = false;
    HeadSizes heads;  // of attention
  };

  const Reasoned& Of(ReasonedId id, int offset = 0) const;
  // Throws UserError where the calibration has no such table.
  const Table& Of(TableId id) const;
  const RatioSurface& Surface(TableId id) const;
  const AttentionByLength& ByLength() const;

  const Machine& machine() const { return machine_; }    // the device asked for
  const Machine& measured() const { return measured_; }  // the one the tables are of
  bool device_listed() const { return device_listed_; }
  const std::string& attention_engine() const { return file_.attention_engine; }
  bool attention_tables() const { return file_.attention_tables; }
  const WholeStepRecord& whole_step() const { return *file_.whole_step; }
  const CostSources& sources() const { return sources_; }

  // An estimate from a table: `model_seconds` of the baseline on the device asked for, corrected by
  // the table's ratio.
  Cost Correct(TableId id, double model_seconds, Bound bound, const RatioSurface::Key& key,
               double axis) const;
  // Errors common to `reasoned` added to a cost, which takes its source over.
  Cost Reason(Cost cost, ReasonedId id) const;
  // The cost times the number, with its errors; a 1 without errors leaves the cost and its source.
  Cost Scale(Cost cost, ReasonedId id) const;

 private:
  void Add(const CalibrationFile& file, const std::string& stack);

  CalibrationFile file_;
  Calibration::Reader read_;
  Machine machine_, measured_;
  bool device_listed_ = false;
  std::array<Table, kTableCount> tables_;
  Table by_length_;
  std::array<std::optional<Reasoned>, kReasonedCount> reasoned_;
  CostSources sources_;
  // A parse that throws leaves its flag unset: the next query throws again.
  template <class T>
  struct Parsed {
    std::once_flag once;
    std::unique_ptr<const T> value;
  };
  mutable std::array<Parsed<RatioSurface>, kTableCount> surfaces_;
  mutable Parsed<AttentionByLength> parsed_by_length_;
};

}  // namespace moecast
