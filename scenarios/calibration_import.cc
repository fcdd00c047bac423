#include "scenarios/calibration_import.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/quantity_text.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/calibration/disturbed.h"
#include "costmodel/calibration/tables.h"
#include "scenarios/calibration_era.h"
#include "scenarios/calibration_reasoned.h"

namespace moecast {
namespace {

constexpr double kMax = 1e12;
constexpr const char* kStack = "2025";

// Where a table's points come from: files called *_<source>_<engine>_<version>.csv, the rows whose columns
// have these values, and the columns that become key and axis. A key "a/b" divides two columns, "=512" is a
// number. A column may go on in parentheses, "q_len_tokens(isl)".
struct Reading {
  TableId table;
  std::string_view source;
  std::vector<std::pair<std::string_view, std::string_view>> where;
  std::vector<std::string_view> keys;
  std::string_view axis;
  double axis_add = 0;
};

// The engine whose times become the table, and the one they are compared with; the other where there is only
// one.
struct EngineChoice {
  TableId table;
  std::string_view engine, compared;
};

const std::vector<Reading>& Readings() {
  using enum TableId;
  static const std::vector<Reading> readings = [] {
    const std::vector<std::string_view> nk = {"n", "k"}, mla = {"num_heads_this_gpu", "batch_size"},
                                        gqa = {"num_q_heads", "num_kv_heads", "batch_size"},
                                        moe = {"hidden", "inter/moe_tp", "num_experts", "topk", "moe_ep"};
    const std::string_view bf16 = "bfloat16", fp8 = "fp8", query = "q_len_tokens", past = "kv_past_tokens";
    std::vector<Reading> list = {
        {kGemmBf16, "gemm_bfloat16", {{"dtype", bf16}}, nk, "m"},
        {kGemmFp8, "gemm_fp8", {{"dtype", fp8}}, nk, "m"},
        {kGemmFp8Block, "gemm_fp8_block", {{"dtype", "fp8_block"}}, nk, "m"},
        // q (128 a head) into the compressed space of 512, and the attended values back out of it
        {kMlaBmmBf16,
         "mla_bmm",
         {{"op", "mla_gen_pre"}, {"dtype", bf16}},
         {"=512", "=128", "num_heads"},
         "num_tokens"},
        {kMlaBmmBf16,
         "mla_bmm",
         {{"op", "mla_gen_post"}, {"dtype", bf16}},
         {"=128", "=512", "num_heads"},
         "num_tokens"},
        {kMlaBmmFp8,
         "mla_bmm",
         {{"op", "mla_gen_pre"}, {"dtype", fp8}},
         {"=512", "=128", "num_heads"},
         "num_tokens"},
        {kMlaBmmFp8,
         "mla_bmm",
         {{"op", "mla_gen_post"}, {"dtype", fp8}},
         {"=128", "=512", "num_heads"},
         "num_tokens"},
        {kMlaPrefill, "mla_context", {{"mla_dtype", bf16}, {"kv_cache_dtype", bf16}}, mla, query},
        {kMlaPrefillFp8, "mla_context", {{"mla_dtype", bf16}, {"kv_cache_dtype", fp8}}, mla, query},
        {kMlaDecodeBf16, "mla_generation", {{"mla_dtype", bf16}, {"kv_cache_dtype", bf16}}, mla, past, 1},
        {kMlaDecodeFp8, "mla_generation", {{"mla_dtype", bf16}, {"kv_cache_dtype", fp8}}, mla, past, 1},
        {kAttentionPrefillBf16,
         "attention_context",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", bf16}, {"head_dim", "128"}},
         gqa,
         query},
        {kAttentionPrefillFp8,
         "attention_context",
         {{"attn_dtype", fp8}, {"kv_cache_dtype", fp8}, {"head_dim", "128"}},
         gqa,
         query},
        {kAttentionDecodeBf16,
         "attention_generation",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", bf16}, {"head_dim", "128"}},
         gqa,
         past,
         1},
        {kAttentionDecodeFp8,
         "attention_generation",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", fp8}, {"head_dim", "128"}},
         gqa,
         past,
         1},
    };
    for (const std::string_view source : {"moe", "moe_neighbour_shapes"}) {
      const std::string_view tokens = source == "moe" ? "num_tokens_total" : "num_tokens";
      list.push_back(
          {kMoeBf16, source, {{"dtype", bf16}, {"routing_distribution", "balanced"}}, moe, tokens});
      list.push_back({kMoeFp8, source, {{"dtype", fp8}, {"routing_distribution", "balanced"}}, moe, tokens});
      list.push_back({kMoeFp8Block,
                      source,
                      {{"dtype", "fp8_block"}, {"routing_distribution", "balanced"}},
                      moe,
                      tokens});
    }
    return list;
  }();
  return readings;
}

// cuBLAS as TensorRT-LLM calls it repeats better than as vLLM does (neighbouring shapes differ by 3% rather
// than 5%); SGLang's block-scaled GEMM is DeepGEMM. vLLM's MLA decode was timed with its host (110 us for one
// token), and its bf16 and fp8 MoE layers compute rows of absent experts: neither says how kernels differ.
constexpr EngineChoice kEngines[] = {
    {TableId::kGemmBf16, "trtllm", "vllm"},   {TableId::kGemmFp8Block, "sglang", "trtllm"},
    {TableId::kMlaDecodeBf16, "trtllm", ""},  {TableId::kMlaDecodeFp8, "trtllm", ""},
    {TableId::kMoeBf16, "trtllm", ""},        {TableId::kMoeFp8, "trtllm", ""},
    {TableId::kMoeFp8Block, "trtllm", "vllm"}};

std::string EngineTitle(std::string_view engine) {
  if (engine == "trtllm") return "TensorRT-LLM";
  if (engine == "sglang") return "SGLang";
  if (engine == "vllm") return "vLLM";
  return std::string(engine);
}

// A source's name taken apart.
struct SourceName {
  std::string table, engine, version;
};
std::optional<SourceName> TakeApart(std::string_view file) {
  if (!file.ends_with(".csv")) return std::nullopt;
  file.remove_suffix(4);
  const size_t device = file.find('_'), version = file.rfind('_');
  if (device == std::string_view::npos || version <= device) return std::nullopt;
  const size_t engine = file.rfind('_', version - 1);
  if (engine == std::string_view::npos || engine <= device) return std::nullopt;
  return SourceName{std::string(file.substr(device + 1, engine - device - 1)),
                    std::string(file.substr(engine + 1, version - engine - 1)),
                    std::string(file.substr(version + 1))};
}

size_t ColumnOf(const Measurements& table, std::string_view name) {
  for (size_t i = 0; i < table.columns().size(); ++i)
    if (table.columns()[i].substr(0, table.columns()[i].find('(')) == name) return i;
  return table.Column(name);
}

// A key of a Reading, ready to be read from rows.
class KeyReader {
 public:
  KeyReader(const Measurements& table, std::string_view key) : table_(table) {
    if (key.starts_with('=')) {
      fixed_ = key.substr(1);
      return;
    }
    const size_t slash = key.find('/');
    column_ = ColumnOf(table, key.substr(0, slash));
    if (slash != std::string_view::npos) divisor_ = ColumnOf(table, key.substr(slash + 1));
  }
  std::string Of(size_t row) const {
    if (!fixed_.empty()) return fixed_;
    const int64_t x = table_.Integer(row, column_, 1, 1'000'000'000);
    if (!divisor_) return std::to_string(x);
    const int64_t by = table_.Integer(row, *divisor_, 1, 1'000'000);
    if (x % by != 0) table_.Fail(row, *divisor_, "a divisor of " + std::to_string(x));
    return std::to_string(x / by);
  }

 private:
  const Measurements& table_;
  std::string fixed_;
  size_t column_ = 0;
  std::optional<size_t> divisor_;
};

void Read(const Reading& reading, const Measurements& table, CurveTableBuilder& out) {
  std::vector<std::pair<size_t, std::string_view>> where;
  for (const auto& [column, value] : reading.where) where.emplace_back(ColumnOf(table, column), value);
  std::vector<KeyReader> keys;
  for (const std::string_view key : reading.keys) keys.emplace_back(table, key);
  const size_t axis = ColumnOf(table, reading.axis), us = ColumnOf(table, "latency_us");
  for (size_t r = 0; r < table.rows(); ++r) {
    const bool wanted = std::all_of(where.begin(), where.end(),
                                    [&](const auto& w) { return table.Text(r, w.first) == w.second; });
    if (!wanted) continue;
    std::vector<std::string> key;
    for (const KeyReader& reader : keys) key.push_back(reader.Of(r));
    out.Add(std::move(key), table.Number(r, axis, 0, kMax) + reading.axis_add,
            table.Number(r, us, 1e-3, kMax));
  }
}

struct Source {
  SourceName name;
  Measurements table;
};

struct EngineTable {
  CurveTable table;
  std::string engine, version;
};

// The table of one engine, or of any where `engine` is empty; nothing where no source has it.
std::optional<EngineTable> ReadTable(std::span<const Source> sources, const TableKind& kind,
                                     std::string_view engine) {
  CurveTableBuilder builder({kind.keys.begin(), kind.keys.end()}, std::string(kind.axis));
  std::string found, version;
  for (const Reading& reading : Readings()) {
    if (reading.table != kind.id) continue;
    for (const Source& source : sources) {
      if (source.name.table != reading.source) continue;
      if (engine.empty() ? !found.empty() && found != source.name.engine : engine != source.name.engine)
        continue;
      found = source.name.engine;
      version = source.name.version;
      Read(reading, source.table, builder);
    }
  }
  CurveTable table = builder.Build();
  if (table.rows.empty()) return std::nullopt;
  return EngineTable{std::move(table), found, version};
}

// Every fourth value of the axis, the last among them: what another engine's table is kept for, the
// disagreement of the two, does not need more.
CurveTable Thinned(const CurveTable& table) {
  CurveTable thin = table;
  thin.axis_values.clear();
  thin.values.clear();
  std::vector<size_t> kept;
  for (size_t i = (table.axis_values.size() - 1) % 4; i < table.axis_values.size(); i += 4) kept.push_back(i);
  for (const size_t i : kept) thin.axis_values.push_back(table.axis_values[i]);
  for (size_t r = 0; r < table.rows.size(); ++r)
    for (const size_t i : kept) thin.values.push_back(table.At(r, i));
  return thin;
}

// Prints a table as the file's text and gives what will be read from there: what is evaluated is rounded.
CurveTable Written(TextFile& file, const TableKind& kind, const CurveTable& table, const std::string& title) {
  const std::string comments[] = {
      std::string(kind.name) + ": microseconds by " + std::string(kind.axis) + ", measured with " + title,
      "from the collections of NVIDIA aiconfigurator, Copyright NVIDIA CORPORATION & AFFILIATES, "
      "Apache-2.0; rearranged and rounded"};
  file.text = PrintCurveTable(table, comments);
  return ParseCurveTable(Measurements(file.text, file.path), kind.keys, kind.axis);
}

double Rounded(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", x);
  return *ParseNumber(text);
}

double Median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.empty() ? 0 : x[x.size() / 2];
}

// Bandwidth shares of element-wise kernels from the projections-and-norms tables of Vidur: bytes that must
// move over time and peak, calls of 50 us and more, where launches do not matter.
void FitElementwise(std::span<const Measurements> tables, const Device& device,
                    std::vector<FitRecord>& fits) {
  constexpr double kLongUs = 50, kElement = 2, kHeadDim = 128;
  std::map<std::string, std::vector<double>> shares;
  std::vector<double> smallest;
  for (const Measurements& t : tables) {
    const auto column = [&](std::string_view name) { return t.Column(name); };
    const size_t tp = column("tp"), tokens = column("num_tokens"), hidden = column("n_embd"),
                 wide = column("n_expanded_embd"), heads = column("n_head"), kv_heads = column("n_kv_head");
    for (size_t r = 0; r < t.rows(); ++r) {
      const auto number = [&](size_t c) { return t.Number(r, c, 1, kMax); };
      const double n = number(tokens), h = number(hidden), split = number(tp);
      const auto note = [&](const char* kind, std::string_view name, double elements) {
        const double us = t.Number(r, column(name), 0, kMax);
        if (us >= kLongUs) shares[kind].push_back(elements * kElement / (us * 1e-6) / device.hbm.value);
      };
      note("add", "add_us", 3 * n * h);
      note("rmsnorm", "input_layernorm_us", 2 * n * h);
      note("rmsnorm", "post_attention_layernorm_us", 2 * n * h);
      note("swiglu", "mlp_act_us", 3 * n * number(wide) / split);
      note("rope", "attn_rope_us", 2 * n * (number(heads) + number(kv_heads)) * kHeadDim / split);
      note("embedding", "emb_us", 2 * n * h);
      if (n <= 8) smallest.push_back(t.Number(r, column("add_us"), 0, kMax));
    }
  }
  const char* source =
      "vLLM-era kernels on H100, Vidur profiles (MIT): median share of HBM bandwidth, calls of 50 us and "
      "more";
  for (const auto& [kind, values] : shares)
    fits.push_back({"elementwise_" + kind + "_share", Rounded(Median(values)),
                    static_cast<int64_t>(values.size()), source});
  if (!smallest.empty())
    fits.push_back({"elementwise_launch_us", Median(smallest), static_cast<int64_t>(smallest.size()),
                    "residual add of at most 8 tokens on H100, Vidur profiles (MIT): median time"});
}

// `files` outlive it.
Calibration::Reader ReaderOf(std::span<const TextFile> files) {
  return [files](std::string_view path) {
    for (const TextFile& f : files)
      if (f.path == path) return f.text;
    throw UserError(
        {.file = std::string(path), .value = "no such table", .expected = "one made by the import"});
  };
}

// How far grouped block-scaled GEMMs of the calibration are from DeepGEMM's published ones, the newest of
// each shape.
void CheckGrouped(const Measurements& t, const Device& device, std::span<const TextFile> files,
                  ReasonedRecord& reasoned, std::vector<FitRecord>& fits) {
  const size_t layout = t.Column("layout"), groups = t.Column("groups"), m = t.Column("M_per_group"),
               n = t.Column("N"), k = t.Column("K"), us = t.Column("implied_time_us"),
               date = t.Column("readme_commit_date");
  std::map<std::vector<int64_t>, std::pair<std::string, double>> newest;
  for (size_t r = 0; r < t.rows(); ++r) {
    if (t.Text(r, layout) != "grouped_contiguous") continue;
    std::vector<int64_t> shape;
    for (const size_t c : {groups, m, n, k}) shape.push_back(t.Integer(r, c, 1, 1'000'000'000));
    auto& entry = newest[shape];
    if (std::string(t.Text(r, date)) >= entry.first)
      entry = {std::string(t.Text(r, date)), t.Number(r, us, 1e-3, kMax)};
  }
  if (newest.empty()) return;
  const Calibration calibration(device, kStack, ReaderOf(files));
  std::vector<double> logs;
  for (const auto& [s, measured] : newest) {
    const Cost cost = calibration.GroupedGemm({s[0], s[0] * s[1], s[2], s[3], Dtype::kFp8Block});
    logs.push_back(std::log(cost.time.value * 1e6 / measured.second));
  }
  double sum = 0;
  for (const double x : logs) sum += std::fabs(x);
  const double mean = Median(logs);
  fits.push_back(
      {"grouped_fp8_block_estimate_over_measured", Rounded(std::exp(mean)), static_cast<int64_t>(logs.size()),
       "DeepGEMM README (MIT), H800, grouped contiguous layout: median of estimate over measurement"});
  reasoned.sigma_table = Rounded(std::max(reasoned.sigma_table, sum / static_cast<double>(logs.size())));
}

}  // namespace

ImportedCalibrations ImportCalibrations(std::span<const TextFile> sources, const Device& measured_on) {
  ImportedCalibrations out;
  std::vector<Source> known;
  std::vector<Measurements> vidur;
  std::optional<Measurements> attention, deepgemm;
  for (const TextFile& file : sources) {
    const auto name = TakeApart(file.path);
    const auto reads = [&](const Reading& r) { return name && r.source == name->table; };
    if (file.path.starts_with("vidur_") && file.path.ends_with("_ops.csv")) {
      vidur.emplace_back(file.text, file.path);
    } else if (file.path.starts_with("attention_") && !file.path.starts_with("attention_context")) {
      attention.emplace(file.text, file.path);
    } else if (file.path.starts_with("deepgemm")) {
      deepgemm.emplace(file.text, file.path);
    } else if (std::any_of(Readings().begin(), Readings().end(), reads)) {
      known.push_back({*name, Measurements(file.text, file.path)});
    } else {
      out.ignored.push_back(file.path);
    }
  }
  std::sort(out.ignored.begin(), out.ignored.end());
  if (known.empty())
    throw UserError({.file = "calibrate import",
                     .value = "no measured table among " + std::to_string(sources.size()) + " files",
                     .expected = "files such as h100_gemm_bfloat16_trtllm_1.3.0rc20.csv"});

  const Machine machine = MachineOf(measured_on);
  CalibrationFile file = ReasonedCalibration(kStack);
  file.measured_on = MeasuredOn{measured_on.name, measured_on.sms, measured_on.bf16_peak,
                                measured_on.fp8_peak, measured_on.hbm};
  for (const TableKind& kind : TableKinds()) {
    std::string_view engine, compared;
    for (const EngineChoice& choice : kEngines)
      if (choice.table == kind.id) engine = choice.engine, compared = choice.compared;
    std::optional<EngineTable> table = ReadTable(known, kind, engine);
    if (!table && !compared.empty()) table = ReadTable(known, kind, compared), compared = "";
    if (!table) continue;
    size_t dropped = DropSpikes(kind, table->table, machine);
    if (kind.by_family) dropped += DropUntuned(kind, table->table);
    const std::optional<EngineTable> other =
        compared.empty() ? std::nullopt : ReadTable(known, kind, compared);

    const std::string title =
        EngineTitle(table->engine) + " " + table->version +
        (kind.id == TableId::kGemmFp8Block && table->engine == "sglang" ? " (DeepGEMM)" : "") + " on " +
        measured_on.name;
    TextFile csv{std::string(kStack) + "/" + std::string(kind.name) + ".csv", ""};
    const CurveTable rounded = Written(csv, kind, table->table, title);
    const LeftOut left_out = EvaluateLeftOut(kind, rounded, machine);

    TableRecord record;
    record.name = kind.name;
    record.file = std::string(kind.name) + ".csv";
    record.source = title + " (NVIDIA aiconfigurator, Apache-2.0)";
    record.points = static_cast<int64_t>(rounded.points());
    record.dropped = static_cast<int64_t>(dropped);
    out.tables.push_back({record.name, rounded.points(), left_out, {}});
    if (other) {
      const std::string other_title = EngineTitle(other->engine) + " " + other->version;
      record.compared_file = std::string(kind.name) + "_compared.csv";
      record.compared_source = other_title;
      TextFile thin{std::string(kStack) + "/" + record.compared_file, ""};
      CurveTable points = other->table;
      if (kind.by_family) DropUntuned(kind, points);
      const Disagreement disagreement = EngineDisagreement(
          rounded, Written(thin, kind, Thinned(points), other_title + " on " + measured_on.name),
          left_out.levels);
      record.sigma_table = Rounded(std::max(disagreement.sigma, kLeastSigmaTable.value));
      record.sigma_table_from = "disagreement with " + other_title;
      record.table_coverage_percent = Rounded(disagreement.coverage_percent);
      out.tables.back().compared = disagreement;
      out.files.push_back(std::move(thin));
    } else {
      const Known& reasoned = kind.by_family ? kMoeSigmaTable : kOneEngineSigmaTable;
      record.sigma_table = reasoned.value;
      record.sigma_table_from = reasoned.source;
    }
    record.sigma_curve = Rounded(left_out.levels.curve);
    record.sigma_curve_short = Rounded(left_out.levels_short.curve);
    record.sigma_own = Rounded(left_out.levels.own);
    record.sigma_own_short = Rounded(left_out.levels_short.own);
    record.left_out_mape_percent = Rounded(left_out.mape_percent);
    record.left_out_p90_percent = Rounded(left_out.p90_percent);
    record.inverse_distance_mape_percent = Rounded(left_out.inverse_distance_mape_percent);
    record.coverage_percent = Rounded(left_out.coverage.points_percent);
    record.curve_coverage_percent = Rounded(left_out.coverage.curves_percent);
    file.tables.push_back(std::move(record));
    out.files.push_back(std::move(csv));
  }
  if (attention) {
    std::vector<std::string> keys(std::begin(kAttentionByLengthKeys), std::end(kAttentionByLengthKeys));
    CurveTableBuilder builder(keys, std::string(kAttentionByLengthAxis));
    for (size_t r = 0; r < attention->rows(); ++r) {
      std::vector<std::string> key;
      for (const std::string& k : keys) key.emplace_back(attention->Text(r, attention->Column(k)));
      for (size_t c = 0; c < attention->columns().size(); ++c) {
        constexpr std::string_view kPrefix = "sequence_";
        const std::string_view column = attention->columns()[c];
        if (!column.starts_with(kPrefix)) continue;
        std::string_view length = column.substr(kPrefix.size());
        const double unit = length.ends_with('k') ? 1024 : 1;
        if (unit > 1) length.remove_suffix(1);
        const auto number = ParseNumber(length);
        if (!number) attention->Column("sequence_NUMBER");
        builder.Add(key, *number * unit, attention->Number(r, c, 1e-3, kMax));
      }
    }
    const CurveTable table = builder.Build();
    const std::string name(kAttentionByLengthName);
    const std::string comments[] = {
        name + ": TFLOP/s by sequence length on H100 80GB SXM5, fp16, hidden size 2048, 16384 tokens in all",
        "read from figures 5 and 6 of FlashAttention-3, arXiv 2407.08608; backward counts 2.5 times the "
        "forward's flops"};
    out.files.push_back({std::string(kStack) + "/" + name + ".csv", PrintCurveTable(table, comments)});
    TableRecord record;
    record.name = name;
    record.file = name + ".csv";
    record.source =
        "FlashAttention-2, FlashAttention-3 and cuDNN on H100 80GB SXM5, figures of arXiv 2407.08608";
    record.points = static_cast<int64_t>(table.points());
    file.tables.push_back(std::move(record));
  }
  FitElementwise(vidur, measured_on, file.fits);

  const std::string json_path = std::string(kStack) + "/calibration.json";
  const bool has_block = std::any_of(out.tables.begin(), out.tables.end(),
                                     [](const ImportedTable& t) { return t.name == "gemm_fp8_block"; });
  if (deepgemm && has_block) {
    out.files.push_back({json_path, PrintCalibrationFile(file)});
    const std::string name = ReasonedName(static_cast<int>(ReasonedId::kGroupedFp8Block));
    for (ReasonedRecord& r : file.reasoned)
      if (r.name == name) CheckGrouped(*deepgemm, measured_on, out.files, r, file.fits);
    out.files.pop_back();
  }
  out.files.push_back({json_path, PrintCalibrationFile(file)});
  CalibrationFile older = ReasonedCalibration("2024h1");
  const bool has_gemm = std::any_of(out.tables.begin(), out.tables.end(),
                                    [](const ImportedTable& t) { return t.name == "gemm_bf16"; });
  if (has_gemm) FitGemmEra(vidur, Calibration(measured_on, kStack, ReaderOf(out.files)), older);
  out.files.push_back({older.stack + "/calibration.json", PrintCalibrationFile(older)});
  std::sort(out.files.begin(), out.files.end(),
            [](const TextFile& a, const TextFile& b) { return a.path < b.path; });
  return out;
}

}  // namespace moecast
