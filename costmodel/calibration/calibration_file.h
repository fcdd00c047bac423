// calibration.json: whose kernels a calibration describes, what each table is and how far its
// estimates were off where they could be checked, and what was reasoned instead of measured.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "base/units.h"

namespace moecast {

// The device the tables were measured on.
struct MeasuredOn {
  std::string name;
  int sms = 0;
  FlopsPerSecond bf16_peak, fp8_peak;
  BytesPerSecond hbm;
};
const Fields<MeasuredOn>& FieldsOf(const MeasuredOn*);

// A table of the calibration, with what leaving out a fifth of its curves showed
// (judge/left_out.h).
struct TableRecord {
  std::string name;    // as in table_kinds.h
  std::string file;    // within the folder of the calibration that lists it
  std::string source;  // engine, version, licence
  // Of attention: the head sizes that all of it was measured with.
  std::optional<int64_t> qk_dim, v_dim;
  int64_t points = 0;
  int64_t dropped = 0;     // disturbed measurements left out (DropSpikes)
  double sigma_table = 0;  // of ln(time), common to the table
  std::string sigma_table_from;
  double sigma_curve = 0;        // common to a curve, times of 10 us and more
  double sigma_curve_short = 0;  // shorter ones
  double sigma_own = 0;          // of one estimate, times of 10 us and more
  double sigma_own_short = 0;
  double left_out_mape_percent = 0;  // mean absolute error, times of 10 us and more
  double left_out_p90_percent = 0;
  double inverse_distance_mape_percent =
      0;  // of inverse-distance interpolation (judge/inverse_distance.h)
  // Left-out points, and means of left-out curves, within their 80% intervals.
  double coverage_percent = 0;
  double curve_coverage_percent = 0;
  // Another engine's table of the same shapes, a part of it, and its points within the 80% interval
  // around this one's; "" where there is none.
  std::string compared_file, compared_source;
  double table_coverage_percent = 0;
};
const Fields<TableRecord>& FieldsOf(const TableRecord*);

// What no table has: a number with its source and how far it may be off.
struct ReasonedRecord {
  std::string name;
  double value = 0;
  double sigma_table = 0;
  double sigma_own = 0;
  std::string source;
};
const Fields<ReasonedRecord>& FieldsOf(const ReasonedRecord*);

// A number fitted to measurements, kept as evidence for a reasoned one.
struct FitRecord {
  std::string name;
  double value = 0;
  int64_t points = 0;
  std::string source;
};
const Fields<FitRecord>& FieldsOf(const FitRecord*);

// The scalars of WholeStep (costmodel/whole_step.h) that were fitted with these kernels.
struct WholeStepRecord {
  double sustained = 1;
  Seconds gap;
  double sigma = 0;
  std::string source;
};
const Fields<WholeStepRecord>& FieldsOf(const WholeStepRecord*);

struct CalibrationFile {
  std::string stack;
  std::string description;
  std::string base;  // a stack whose tables and numbers hold where this one has none of that name;
                     // "" for none
  std::vector<std::string> devices;
  std::optional<MeasuredOn> measured_on;  // the base's where absent
  // The engine of attention_by_length whose rates hold in training. With attention_tables, prefill
  // and MLA's training forward come from tables and MLA's backward from them by the engine's
  // backward-to-forward ratio.
  std::string attention_engine;
  bool attention_tables = false;
  std::optional<WholeStepRecord> whole_step;  // the base's where absent
  std::vector<TableRecord> tables;
  std::vector<ReasonedRecord> reasoned;
  std::vector<FitRecord> fits;
};
const Fields<CalibrationFile>& FieldsOf(const CalibrationFile*);

// `file` is for messages. Throws UserError.
CalibrationFile ParseCalibrationFile(std::string_view text, const std::string& file);
std::string PrintCalibrationFile(const CalibrationFile& file);

}  // namespace moecast
