#include "scenarios/calibrate/import.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/known.h"
#include "base/quantity_text.h"
#include "costmodel/calibration/attention_by_length.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/judge/disturbed.h"
#include "scenarios/calibrate/era.h"
#include "scenarios/calibrate/evidence.h"
#include "scenarios/calibrate/sources.h"
#include "scenarios/calibration_loader.h"

namespace moecast {
namespace {

constexpr const char* kStack = "2025";
constexpr const char* kOlderStack = "2024h1";  // its products are those of kStack, times a factor

// The error common to a table: what another engine deviates, but no less than the first; else one
// of the others.
constexpr Known kLeastSigmaTable = {0.03, "clock and power of two cards of one kind"};
constexpr Known kOneEngineSigmaTable = {0.08,
                                        "reasoned: one engine only; where two were measured they "
                                        "disagree by 6% (both call cuBLAS) to 24% (two "
                                        "block-scaled kernels)"};
constexpr Known kMoeSigmaTable = {
    0.15,
    "reasoned: fused MoE layers of two engines disagree by 12% with block-scaled fp8, and vLLM's "
    "bf16 by far "
    "more under expert parallelism, where it computes rows of absent experts"};

std::string PathOf(std::string_view stack, std::string_view file) {
  return std::string(stack) + "/" + std::string(file);
}

// The files that were given, told apart by their names.
struct Sources {
  std::vector<Source> tables;
  std::vector<Measurements> profiles;  // of Vidur
  std::optional<Measurements> attention, deepgemm;
  std::vector<std::string> ignored;
};

Sources ToldApart(std::span<const TextFile> files) {
  Sources sources;
  for (const TextFile& file : files) {
    const auto name = TakeApart(file.path);
    if (file.path.starts_with("vidur_") && file.path.ends_with("_ops.csv"))
      sources.profiles.emplace_back(file.text, file.path);
    else if (file.path.starts_with("attention_") && !file.path.starts_with("attention_context"))
      sources.attention.emplace(file.text, file.path);
    else if (file.path.starts_with("deepgemm"))
      sources.deepgemm.emplace(file.text, file.path);
    else if (name && IsMeasuredTable(name->table))
      sources.tables.push_back({*name, Measurements(file.text, file.path)});
    else
      sources.ignored.push_back(file.path);
  }
  std::sort(sources.ignored.begin(), sources.ignored.end());
  if (sources.tables.empty())
    throw UserError({.file = "calibrate import",
                     .value = "no measured table among " + std::to_string(files.size()) + " files",
                     .expected = "files such as h100_gemm_bfloat16_trtllm_1.3.0rc20.csv"});
  return sources;
}

// What no measurement says: the built-in calibration of a stack without its tables and fits. It is
// the one place of the reasoned numbers, which an import passes on.
CalibrationFile Reasoned(std::string_view stack) {
  const std::string path = PathOf(stack, "calibration.json");
  CalibrationFile file = ParseCalibrationFile(CalibrationText(path).value_or(""), path);
  file.tables.clear();
  file.fits.clear();
  return file;
}

std::string EngineTitle(const EngineTable& of) {
  std::string engine = of.engine;
  if (engine == "trtllm") engine = "TensorRT-LLM";
  if (engine == "sglang") engine = "SGLang";
  if (engine == "vllm") engine = "vLLM";
  return engine + " " + of.version;
}

// Every fourth value of the axis, the last among them: what another engine's table is kept for, the
// disagreement of the two, does not need more.
CurveTable Thinned(const CurveTable& table) {
  CurveTable thin = table;
  thin.axis_values.clear();
  thin.values.clear();
  std::vector<size_t> kept;
  for (size_t i = (table.axis_values.size() - 1) % 4; i < table.axis_values.size(); i += 4)
    kept.push_back(i);
  for (const size_t i : kept) thin.axis_values.push_back(table.axis_values[i]);
  for (size_t r = 0; r < table.rows.size(); ++r)
    for (const size_t i : kept) thin.values.push_back(table.At(r, i));
  return thin;
}

// Prints a table as the file's text and gives what will be read from there: what is evaluated is
// rounded.
CurveTable Written(TextFile& file, const TableKind& kind, const CurveTable& table,
                   const std::string& title) {
  const std::string comments[] = {
      std::string(kind.name) + ": microseconds by " + std::string(kind.axis) + ", measured with " +
          title,
      "from the collections of NVIDIA aiconfigurator, Copyright NVIDIA CORPORATION & AFFILIATES, "
      "Apache-2.0; rearranged and rounded"};
  file.text = PrintCurveTable(table, comments);
  return ParseCurveTable(Measurements(file.text, file.path), kind, table.heads);
}

// How far the table is off where it has no measurement.
void NoteLeftOut(const LeftOut& left_out, TableRecord& record) {
  record.sigma_curve = FourDigits(left_out.levels.curve);
  record.sigma_curve_short = FourDigits(left_out.levels_short.curve);
  record.sigma_own = FourDigits(left_out.levels.own);
  record.sigma_own_short = FourDigits(left_out.levels_short.own);
  record.left_out_mape_percent = FourDigits(left_out.mape_percent);
  record.left_out_p90_percent = FourDigits(left_out.p90_percent);
  record.inverse_distance_mape_percent = FourDigits(left_out.inverse_distance_mape_percent);
  record.coverage_percent = FourDigits(left_out.coverage.points_percent);
  record.curve_coverage_percent = FourDigits(left_out.coverage.curves_percent);
}

// Adds a table to the calibration: its file, its record and what is told of it; and a part of
// another engine's, from which the error common to the table is taken.
void ImportTable(const TableKind& kind, MeasuredTable measured, const Device& device,
                 CalibrationFile& file, ImportedCalibrations& out) {
  const Machine machine = MachineOf(device);
  CurveTable& table = measured.table.table;
  size_t dropped = DropSpikes(kind, table, machine);
  if (kind.by_family) dropped += DropUntuned(kind, table);

  TableRecord record;
  record.name = kind.name;
  record.file = record.name + ".csv";
  const bool deepgemm = kind.id == TableId::kGemmFp8Block && measured.table.engine == "sglang";
  const std::string title =
      EngineTitle(measured.table) + (deepgemm ? " (DeepGEMM)" : "") + " on " + device.name;
  TextFile csv{PathOf(file.stack, record.file), ""};
  const CurveTable rounded = Written(csv, kind, table, title);
  ImportedTable imported{
      record.name, rounded.points(), EvaluateLeftOut(kind, rounded, machine), {}};
  record.source = title + " (NVIDIA aiconfigurator, Apache-2.0)";
  if (kind.of_attention) record.qk_dim = table.heads.qk, record.v_dim = table.heads.v;
  record.points = static_cast<int64_t>(rounded.points());
  record.dropped = static_cast<int64_t>(dropped);
  NoteLeftOut(imported.left_out, record);

  if (measured.compared) {
    const std::string other = EngineTitle(*measured.compared);
    record.compared_file = record.name + "_compared.csv";
    record.compared_source = other;
    TextFile thin{PathOf(file.stack, record.compared_file), ""};
    CurveTable& points = measured.compared->table;
    if (kind.by_family) DropUntuned(kind, points);
    imported.compared = EngineDisagreement(
        rounded, Written(thin, kind, Thinned(points), other + " on " + device.name),
        imported.left_out.levels);
    record.sigma_table = FourDigits(std::max(imported.compared.sigma, kLeastSigmaTable.value));
    record.sigma_table_from = "disagreement with " + other;
    record.table_coverage_percent = FourDigits(imported.compared.coverage_percent);
    out.files.push_back(std::move(thin));
  } else {
    const Known& reasoned = kind.by_family ? kMoeSigmaTable : kOneEngineSigmaTable;
    record.sigma_table = reasoned.value;
    record.sigma_table_from = reasoned.source;
  }
  out.tables.push_back(std::move(imported));
  file.tables.push_back(std::move(record));
  out.files.push_back(std::move(csv));
}

// "sequence_512" and "sequence_1k" are lengths; nothing for another column.
std::optional<double> LengthOf(const Measurements& table, std::string_view column) {
  constexpr std::string_view kPrefix = "sequence_";
  if (!column.starts_with(kPrefix)) return std::nullopt;
  column.remove_prefix(kPrefix.size());
  const double unit = column.ends_with('k') ? 1024 : 1;
  if (unit > 1) column.remove_suffix(1);
  const auto number = ParseNumber(column);
  if (!number) table.Column("sequence_NUMBER");
  return *number * unit;
}

// Adds the rates of training attention by length.
void ImportAttention(const Measurements& source, CalibrationFile& file, ImportedCalibrations& out) {
  const std::vector<std::string> keys(std::begin(kAttentionByLengthKeys),
                                      std::end(kAttentionByLengthKeys));
  CurveTableBuilder builder(keys, std::string(kAttentionByLengthAxis));
  for (size_t r = 0; r < source.rows(); ++r) {
    std::vector<std::string> key;
    for (const std::string& k : keys) key.emplace_back(source.Text(r, source.Column(k)));
    for (size_t c = 0; c < source.columns().size(); ++c)
      if (const auto length = LengthOf(source, source.columns()[c]))
        builder.Add(key, *length, source.Number(r, c, 1e-3, kGreatestNumber));
  }
  const CurveTable table = builder.Build();
  TableRecord record;
  record.name = kAttentionByLengthName;
  record.file = record.name + ".csv";
  const std::string comments[] = {record.name +
                                      ": TFLOP/s by sequence length on H100 80GB SXM5, fp16, "
                                      "hidden size 2048, 16384 tokens in all",
                                  "read from figures 5 and 6 of FlashAttention-3, arXiv "
                                  "2407.08608; backward counts 2.5 times the "
                                  "forward's flops"};
  record.source =
      "FlashAttention-2, FlashAttention-3 and cuDNN on H100 80GB SXM5, figures of arXiv 2407.08608";
  record.points = static_cast<int64_t>(table.points());
  out.files.push_back({PathOf(file.stack, record.file), PrintCurveTable(table, comments)});
  file.tables.push_back(std::move(record));
}

// A calibration as far as it was imported. `tables` outlive it.
Calibration CalibrationOf(const CalibrationFile& file, std::span<const TextFile> tables,
                          const Device& device) {
  const std::string own = PathOf(file.stack, "calibration.json"), text = PrintCalibrationFile(file);
  return Calibration(device, file.stack, [own, text, tables](std::string_view path) {
    if (path == own) return text;
    for (const TextFile& f : tables)
      if (f.path == path) return f.text;
    throw UserError({.file = std::string(path),
                     .value = "no such table",
                     .expected = "one made by the import"});
  });
}

}  // namespace

ImportedCalibrations ImportCalibrations(std::span<const TextFile> files,
                                        const Device& measured_on) {
  const Sources sources = ToldApart(files);
  ImportedCalibrations out;
  out.ignored = sources.ignored;
  CalibrationFile file = Reasoned(kStack), older = Reasoned(kOlderStack);
  file.measured_on = MeasuredOn{measured_on.name, measured_on.sms, measured_on.bf16_peak,
                                measured_on.fp8_peak, measured_on.hbm};
  for (const TableKind& kind : TableKinds())
    if (auto measured = ReadMeasured(sources.tables, kind))
      ImportTable(kind, *std::move(measured), measured_on, file, out);
  if (sources.attention) ImportAttention(*sources.attention, file, out);

  const auto has = [&out](std::string_view name) {
    return std::any_of(out.tables.begin(), out.tables.end(),
                       [name](const ImportedTable& t) { return t.name == name; });
  };
  FitElementwise(sources.profiles, measured_on, file);
  if (sources.deepgemm && has("gemm_fp8_block"))
    CheckGrouped(*sources.deepgemm, CalibrationOf(file, out.files, measured_on), file);
  const std::span<const Measurements> profiles =
      has("gemm_bf16") ? std::span<const Measurements>(sources.profiles)
                       : std::span<const Measurements>();
  FitGemmEra(profiles, CalibrationOf(file, out.files, measured_on), older);

  for (const CalibrationFile* made : {&file, &older})
    out.files.push_back({PathOf(made->stack, "calibration.json"), PrintCalibrationFile(*made)});
  std::sort(out.files.begin(), out.files.end(),
            [](const TextFile& a, const TextFile& b) { return a.path < b.path; });
  return out;
}

}  // namespace moecast
