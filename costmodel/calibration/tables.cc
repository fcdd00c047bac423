#include "costmodel/calibration/tables.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/random.h"

namespace moecast {
namespace {

constexpr std::string_view kReasonedNames[] = {"main_grad_exposed",    "wgrad",
                                               "wgrad_fp8_block",      "gemm_bf16",
                                               "grouped_bf16",         "grouped_fp8",
                                               "grouped_fp8_block",    "attention_by_length",
                                               "attention_backward",   "attention_wide_heads",
                                               "elementwise_launch_us"};
static_assert(std::size(kReasonedNames) == static_cast<size_t>(ReasonedId::kElementwise));

constexpr double kSigmaPerOctaveOutside =
    0.1;  // reasoned: ratios of neighbouring curves drift by about this an octave
// From the nearest measured curve. Keys of the tables go by doubling, so that within their range
// one is no more than half an octave away.
constexpr double kFarOctaves = 0.5;
constexpr double kShortSeconds = 10e-6;
constexpr double kSigmaUnlistedDevice =
    0.2;  // reasoned: another device's kernels reach another share of its peak

Machine MeasuredMachine(const MeasuredOn& m) {
  Device device;
  device.sms = m.sms;
  device.bf16_peak = m.bf16_peak;
  device.fp8_peak = m.fp8_peak;
  device.hbm = m.hbm;
  return MachineOf(device);
}

uint64_t CurveOf(std::string_view table, const RatioSurface::Key& key) {
  uint64_t hash = KeyOf(table, 0);
  for (const double k : key) hash = Random(hash ^ std::bit_cast<uint64_t>(k)).Next();
  return hash;
}

std::string PathOf(std::string_view stack, std::string_view file) {
  return std::string(stack) + "/" + std::string(file);
}

}  // namespace

std::string ReasonedName(int id) {
  const int first = static_cast<int>(ReasonedId::kElementwise);
  if (id < first) return std::string(kReasonedNames[id]);
  return "elementwise_" + std::string(EnumNames<ElementwiseKind>::kNames[id - first].name);
}

HeadSizes HeadsOf(const TableRecord& record, const TableKind& kind, const std::string& file) {
  if (!kind.of_attention) return {};
  if (!record.qk_dim || !record.v_dim)
    throw UserError({.file = file,
                     .pointer = "/tables",
                     .value = "\"" + record.name + "\" without qk_dim and v_dim",
                     .expected = "the head sizes that the table was measured with"});
  return {*record.qk_dim, *record.v_dim};
}

CalibrationTables::CalibrationTables(const Device& device, std::string_view stack,
                                     Calibration::Reader read)
    : read_(std::move(read)), machine_(MachineOf(device)) {
  const std::string path = PathOf(stack, "calibration.json");
  file_ = ParseCalibrationFile(read_(path), path);
  std::optional<MeasuredOn> measured = file_.measured_on;
  if (!file_.base.empty()) {
    const std::string base_path = PathOf(file_.base, "calibration.json");
    const CalibrationFile base = ParseCalibrationFile(read_(base_path), base_path);
    if (!base.base.empty())
      throw UserError({.file = base_path,
                       .pointer = "/base",
                       .value = "\"" + base.base + "\"",
                       .expected = "no base, since " + path + " is built on it"});
    Add(base, file_.base);
    if (!measured) measured = base.measured_on;
    if (!file_.whole_step) file_.whole_step = base.whole_step;
  }
  Add(file_, std::string(stack));
  if (!measured)
    throw UserError(
        {.file = path, .pointer = "/measured_on", .expected = "the device of the tables"});
  if (!file_.whole_step)
    throw UserError(
        {.file = path,
         .pointer = "/whole_step",
         .expected =
             "what `moecast calibrate fit` prints: sustained, gap, sigma and their source"});
  measured_ = MeasuredMachine(*measured);
  device_listed_ =
      std::find(file_.devices.begin(), file_.devices.end(), device.name) != file_.devices.end();
  for (int i = 0; i < kReasonedCount; ++i)
    if (!reasoned_[i])
      throw UserError({.file = path,
                       .pointer = "/reasoned",
                       .expected = "an entry \"" + ReasonedName(i) + "\""});

  for (Table& t : tables_) {
    if (!t.present) continue;
    t.source = sources_.Add(t.record.name, t.record.source);
  }
  for (int i = 0; i < kReasonedCount; ++i)
    reasoned_[i]->source = sources_.Add(ReasonedName(i), reasoned_[i]->record.source);
}

void CalibrationTables::Add(const CalibrationFile& file, const std::string& stack) {
  const std::string path = PathOf(stack, "calibration.json");
  for (size_t i = 0; i < file.tables.size(); ++i) {
    const TableRecord& record = file.tables[i];
    const TableKind* kind = FindTableKind(record.name);
    Table table{record, PathOf(stack, record.file), {}, true, {}};
    if (kind) table.heads = HeadsOf(record, *kind, path);
    if (record.name == kAttentionByLengthName) {
      by_length_ = std::move(table);
    } else if (kind) {
      tables_[static_cast<size_t>(kind->id)] = std::move(table);
    } else {
      std::vector<std::string_view> names{kAttentionByLengthName};
      for (const TableKind& k : TableKinds()) names.push_back(k.name);
      throw UserError({.file = path,
                       .pointer = "/tables/" + std::to_string(i) + "/name",
                       .value = "\"" + record.name + "\"",
                       .expected = "one of " + Join(names),
                       .hint = Nearest(record.name, names)});
    }
  }
  for (size_t i = 0; i < file.reasoned.size(); ++i) {
    const ReasonedRecord& record = file.reasoned[i];
    std::vector<std::string> names;
    for (int id = 0; id < kReasonedCount; ++id) names.push_back(ReasonedName(id));
    const auto at = std::find(names.begin(), names.end(), record.name);
    if (at == names.end()) {
      const std::vector<std::string_view> views(names.begin(), names.end());
      throw UserError({.file = path,
                       .pointer = "/reasoned/" + std::to_string(i) + "/name",
                       .value = "\"" + record.name + "\"",
                       .expected = "one of " + Join(views),
                       .hint = Nearest(record.name, views)});
    }
    reasoned_[static_cast<size_t>(at - names.begin())] = Reasoned{record, {}};
  }
}

const CalibrationTables::Reasoned& CalibrationTables::Of(ReasonedId id, int offset) const {
  return *reasoned_[static_cast<size_t>(id) + static_cast<size_t>(offset)];
}

const CalibrationTables::Table& CalibrationTables::Of(TableId id) const {
  const Table& table = tables_[static_cast<size_t>(id)];
  if (!table.present)
    throw UserError({.file = PathOf(file_.stack, "calibration.json"),
                     .pointer = "/tables",
                     .value = "no table \"" + std::string(KindOf(id).name) + "\"",
                     .expected = "it, for this operator's estimate"});
  return table;
}

const RatioSurface& CalibrationTables::Surface(TableId id) const {
  Parsed<RatioSurface>& surface = surfaces_[static_cast<size_t>(id)];
  std::call_once(surface.once, [&] {
    const TableKind& kind = KindOf(id);
    const std::string& path = Of(id).path;
    const CurveTable table = ParseCurveTable(Measurements(read_(path), path), kind, Of(id).heads);
    if (table.points() == 0)
      throw UserError({.file = path, .value = "no measurement", .expected = "one or more"});
    surface.value = std::make_unique<const RatioSurface>(BuildSurface(kind, table, measured_));
  });
  return *surface.value;
}

const AttentionByLength& CalibrationTables::ByLength() const {
  std::call_once(parsed_by_length_.once, [&] {
    if (!by_length_.present)
      throw UserError({.file = PathOf(file_.stack, "calibration.json"),
                       .pointer = "/tables",
                       .value = "no table \"" + std::string(kAttentionByLengthName) + "\"",
                       .expected = "it, for attention's estimate"});
    const CurveTable table = ParseCurveTable(Measurements(read_(by_length_.path), by_length_.path),
                                             kAttentionByLengthKeys, kAttentionByLengthAxis, false);
    parsed_by_length_.value = std::make_unique<const AttentionByLength>(table, by_length_.path);
  });
  return *parsed_by_length_.value;
}

Cost CalibrationTables::Correct(TableId id, double model_seconds, Bound bound,
                                const RatioSurface::Key& key, double axis) const {
  const Table& table = Of(id);
  const RatioSurface::Result ratio = Surface(id).At(key, axis);
  const double seconds = model_seconds * std::exp(ratio.log_ratio);
  const bool brief = seconds < kShortSeconds;
  const double own = brief ? table.record.sigma_own_short : table.record.sigma_own;
  const double curve = brief ? table.record.sigma_curve_short : table.record.sigma_curve;
  const double on_curve = kSigmaShareOnCurve.value;
  const double near = on_curve + (1 - on_curve) * std::min(1.0, ratio.distance);
  Cost cost;
  cost.time = Seconds(seconds);
  cost.sigma_table = device_listed_ ? table.record.sigma_table
                                    : std::hypot(table.record.sigma_table, kSigmaUnlistedDevice);
  cost.sigma_curve = std::hypot(curve * near, kSigmaPerOctaveOutside * ratio.outside);
  cost.sigma_own = own * near;
  cost.curve = CurveOf(table.record.name, key);
  cost.source = table.source;
  cost.bound = bound;
  // Of scattered families a shape may lie between all and near none.
  const bool far = KindOf(id).by_family && ratio.distance > kFarOctaves;
  cost.extrapolated = far || ratio.outside > 1e-9 || !device_listed_;
  return cost;
}

Cost CalibrationTables::Scale(Cost cost, ReasonedId id) const {
  const ReasonedRecord& record = Of(id).record;
  if (record.value == 1 && record.sigma_table == 0 && record.sigma_own == 0) return cost;
  cost.time = cost.time * record.value;
  return Reason(cost, id);
}

Cost CalibrationTables::Reason(Cost cost, ReasonedId id) const {
  const Reasoned& reasoned = Of(id);
  cost.sigma_table = std::hypot(cost.sigma_table, reasoned.record.sigma_table);
  cost.sigma_own = std::hypot(cost.sigma_own, reasoned.record.sigma_own);
  cost.source = reasoned.source;
  return cost;
}

}  // namespace moecast
