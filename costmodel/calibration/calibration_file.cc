#include "costmodel/calibration/calibration_file.h"

namespace moecast {

const Fields<MeasuredOn>& FieldsOf(const MeasuredOn*) {
  static const Fields<MeasuredOn> fields(
      "measured_on",
      {
          RequiredRow("name", &MeasuredOn::name, "the device of the tables"),
          RequiredRow("sms", &MeasuredOn::sms, "its streaming multiprocessors",
                      {.low = 1, .high = 4096}),
          RequiredRow("bf16_peak", &MeasuredOn::bf16_peak, "dense bf16 rate",
                      {.low = 1e9, .high = 1e18}),
          RequiredRow("fp8_peak", &MeasuredOn::fp8_peak, "dense fp8 rate",
                      {.low = 1e9, .high = 1e18}),
          RequiredRow("hbm", &MeasuredOn::hbm, "memory bandwidth", {.low = 1e6, .high = 1e15}),
      });
  return fields;
}

const Fields<TableRecord>& FieldsOf(const TableRecord*) {
  using R = TableRecord;
  static const Limits sigma{.low = 0, .high = 10};
  static const Limits percent{.low = 0, .high = 1e6};
  static const Limits head{.low = 1, .high = 1e6};
  static const Fields<TableRecord> fields(
      "table",
      {
          RequiredRow("name", &R::name, "which table"),
          RequiredRow("file", &R::file, "file beside calibration.json"),
          RequiredRow("source", &R::source, "engine, version, licence"),
          Row("qk_dim", &R::qk_dim, "of attention: elements of a query and key head", head),
          Row("v_dim", &R::v_dim, "of attention: elements of a value head", head),
          Row("points", &R::points, "measured times"),
          Row("dropped", &R::dropped, "disturbed measurements left out"),
          Row("sigma_table", &R::sigma_table, "standard deviation of ln(time) common to the table",
              sigma),
          Row("sigma_table_from", &R::sigma_table_from, "what sigma_table was taken from"),
          Row("sigma_curve", &R::sigma_curve, "common to a curve, 10 us and more", sigma),
          Row("sigma_curve_short", &R::sigma_curve_short, "common to a curve, below 10 us", sigma),
          Row("sigma_own", &R::sigma_own, "of one estimate, 10 us and more", sigma),
          Row("sigma_own_short", &R::sigma_own_short, "of one estimate below 10 us", sigma),
          Row("left_out_mape_percent", &R::left_out_mape_percent,
              "mean absolute error where a fifth of the curves is left out, 10 us and more",
              percent),
          Row("left_out_p90_percent", &R::left_out_p90_percent, "90th percentile of that error",
              percent),
          Row("inverse_distance_mape_percent", &R::inverse_distance_mape_percent,
              "the same error of inverse-distance interpolation", percent),
          Row("coverage_percent", &R::coverage_percent, "left-out points inside the 80% interval",
              percent),
          Row("curve_coverage_percent", &R::curve_coverage_percent,
              "means of left-out curves inside the 80% interval", percent),
          Row("compared_file", &R::compared_file,
              "part of another engine's table, beside calibration.json"),
          Row("compared_source", &R::compared_source, "engine and version of that table"),
          Row("table_coverage_percent", &R::table_coverage_percent,
              "points of that table inside the 80% interval", percent),
      });
  return fields;
}

const Fields<ReasonedRecord>& FieldsOf(const ReasonedRecord*) {
  using R = ReasonedRecord;
  static const Fields<ReasonedRecord> fields(
      "reasoned", {
                      RequiredRow("name", &R::name, "what it is"),
                      RequiredRow("value", &R::value, "the number", {.low = 0, .high = 1e12}),
                      RequiredRow("sigma_table", &R::sigma_table, "of ln(time), common",
                                  {.low = 0, .high = 10}),
                      RequiredRow("sigma_own", &R::sigma_own, "of ln(time), of one estimate",
                                  {.low = 0, .high = 10}),
                      RequiredRow("source", &R::source, "why"),
                  });
  return fields;
}

const Fields<FitRecord>& FieldsOf(const FitRecord*) {
  using R = FitRecord;
  static const Fields<FitRecord> fields(
      "fit", {
                 RequiredRow("name", &R::name, "what it is"),
                 RequiredRow("value", &R::value, "the number"),
                 RequiredRow("points", &R::points, "measurements it rests on"),
                 RequiredRow("source", &R::source, "engine, version, licence"),
             });
  return fields;
}

const Fields<WholeStepRecord>& FieldsOf(const WholeStepRecord*) {
  using R = WholeStepRecord;
  static const Fields<WholeStepRecord> fields(
      "whole_step",
      {
          RequiredRow("sustained", &R::sustained,
                      "fraction of the peak that power lets a kernel keep up",
                      {.low = 0.01, .high = 1}),
          RequiredRow("gap", &R::gap, "host gap and small kernels around each operator",
                      {.low = 0, .high = 1}),
          RequiredRow("sigma", &R::sigma, "of ln(step time) around what these give",
                      {.low = 0, .high = 1}),
          RequiredRow("source", &R::source, "the runs they were fitted to"),
      });
  return fields;
}

const Fields<CalibrationFile>& FieldsOf(const CalibrationFile*) {
  using F = CalibrationFile;
  static const Fields<CalibrationFile> fields(
      "calibration",
      {
          RequiredRow("stack", &F::stack, "name of the set of kernels"),
          RequiredRow("description", &F::description, "whose kernels"),
          Row("base", &F::base, "stack that has what this one does not"),
          RequiredRow("devices", &F::devices, "devices it holds for"),
          Row("measured_on", &F::measured_on, "device of the tables"),
          RequiredRow("attention_engine", &F::attention_engine,
                      "engine of attention_by_length in training"),
          Row("attention_tables", &F::attention_tables, "prefill and MLA in training from tables"),
          Row("whole_step", &F::whole_step, "what a whole step takes beyond its kernels"),
          Row("tables", &F::tables, "measured tables"),
          Row("reasoned", &F::reasoned, "numbers that no table has"),
          Row("fits", &F::fits, "numbers fitted to measurements"),
      });
  return fields;
}

CalibrationFile ParseCalibrationFile(std::string_view text, const std::string& file) {
  return FieldsOf(static_cast<const CalibrationFile*>(nullptr))
      .Parse(JsonCursor(ParseJson(text, file)));
}

std::string PrintCalibrationFile(const CalibrationFile& file) {
  return DumpJson(FieldsOf(static_cast<const CalibrationFile*>(nullptr)).Print(file)) + "\n";
}

}  // namespace moecast
