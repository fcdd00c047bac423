#include "scenarios/calibrate/sources.h"

#include <algorithm>
#include <map>

namespace moecast {
namespace {

// The engine whose times become the table, and the one they are compared with.
struct EngineChoice {
  TableId table;
  std::string_view engine, compared;
};

// cuBLAS as TensorRT-LLM calls it repeats better than as vLLM does (neighbouring shapes differ by
// 3% rather than 5%); SGLang's block-scaled GEMM is DeepGEMM. vLLM's MLA decode was timed with its
// host (110 us for one token), and its bf16 and fp8 MoE layers compute rows of absent experts:
// neither says how kernels differ. Any engine will do for the tables that are not listed.
constexpr EngineChoice kEngines[] = {
    {TableId::kGemmBf16, "trtllm", "vllm"},   {TableId::kGemmFp8Block, "sglang", "trtllm"},
    {TableId::kMlaDecodeBf16, "trtllm", ""},  {TableId::kMlaDecodeFp8, "trtllm", ""},
    {TableId::kMoeBf16, "trtllm", ""},        {TableId::kMoeFp8, "trtllm", ""},
    {TableId::kMoeFp8Block, "trtllm", "vllm"}};

// Where a table's points come from: files called *_<source>_<engine>_<version>.csv, the rows whose
// columns have these values, and the columns that become key and axis. A key "a/b" divides two
// columns, "=512" is a number. A column may go on in parentheses, "q_len_tokens(isl)".
struct Reading {
  TableId table;
  std::string_view source;
  std::vector<std::pair<std::string_view, std::string_view>> where;
  std::vector<std::string_view> keys;
  std::string_view axis;
  double axis_add = 0;
  HeadSizes heads = {};  // of attention
  // Another file's time that each row includes, and the columns by which it is found there.
  std::string_view includes = {};
  std::vector<std::string_view> included_by = {};
};

// The collections time MLA as DeepSeek-V2 and -V3 have it (arXiv 2405.04434, section 2.1): keys of
// 128 and a RoPE part of 64, values of 128; absorbed, a latent of 512 beside that part. Other
// attention is asked for heads of 128.
constexpr HeadSizes kPlain{128 + 64, 128}, kAbsorbed{512 + 64, 512}, k128{128, 128};

const std::vector<Reading>& Readings() {
  using enum TableId;
  static const std::vector<Reading> readings = [] {
    const std::vector<std::string_view> nk = {"n", "k"}, mla = {"num_heads_this_gpu", "batch_size"},
                                        gqa = {"num_q_heads", "num_kv_heads", "batch_size"},
                                        moe = {"hidden", "inter/moe_tp", "num_experts", "topk",
                                               "moe_ep"};
    const std::string_view bf16 = "bfloat16";
    const std::string_view fp8 = "fp8";
    const std::string_view query = "q_len_tokens";
    const std::string_view past = "kv_past_tokens";
    std::vector<Reading> list = {
        {kGemmBf16, "gemm_bfloat16", {{"dtype", bf16}}, nk, "m"},
        // The layer was timed, which quantises what it is given (collections of aiconfigurator:
        // compute_scale): a cast is an operator of its own here. Without it kernels come to 5.2 us
        // and more, 1,500 TFLOP/s and 2.9 TB/s at most.
        {.table = kGemmFp8,
         .source = "gemm_fp8",
         .where = {{"dtype", fp8}},
         .keys = nk,
         .axis = "m",
         .includes = "fp8_computescale",
         .included_by = {"m", "k"}},
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
        {kMlaPrefill,
         "mla_context",
         {{"mla_dtype", bf16}, {"kv_cache_dtype", bf16}},
         mla,
         query,
         0,
         kPlain},
        {kMlaPrefillFp8,
         "mla_context",
         {{"mla_dtype", bf16}, {"kv_cache_dtype", fp8}},
         mla,
         query,
         0,
         kPlain},
        {kMlaDecodeBf16,
         "mla_generation",
         {{"mla_dtype", bf16}, {"kv_cache_dtype", bf16}},
         mla,
         past,
         1,
         kAbsorbed},
        {kMlaDecodeFp8,
         "mla_generation",
         {{"mla_dtype", bf16}, {"kv_cache_dtype", fp8}},
         mla,
         past,
         1,
         kAbsorbed},
        {kAttentionPrefillBf16,
         "attention_context",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", bf16}, {"head_dim", "128"}},
         gqa,
         query,
         0,
         k128},
        {kAttentionPrefillFp8,
         "attention_context",
         {{"attn_dtype", fp8}, {"kv_cache_dtype", fp8}, {"head_dim", "128"}},
         gqa,
         query,
         0,
         k128},
        {kAttentionDecodeBf16,
         "attention_generation",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", bf16}, {"head_dim", "128"}},
         gqa,
         past,
         1,
         k128},
        {kAttentionDecodeFp8,
         "attention_generation",
         {{"attn_dtype", bf16}, {"kv_cache_dtype", fp8}, {"head_dim", "128"}},
         gqa,
         past,
         1,
         k128},
    };
    for (const std::string_view source : {"moe", "moe_neighbour_shapes"}) {
      const std::string_view tokens = source == "moe" ? "num_tokens_total" : "num_tokens";
      list.push_back(
          {kMoeBf16, source, {{"dtype", bf16}, {"routing_distribution", "balanced"}}, moe, tokens});
      list.push_back(
          {kMoeFp8, source, {{"dtype", fp8}, {"routing_distribution", "balanced"}}, moe, tokens});
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

std::string JoinedAt(const Measurements& table, size_t row, std::span<const size_t> columns) {
  std::string key;
  for (const size_t column : columns) key += std::string(table.Text(row, column)) + ",";
  return key;
}

// The times that rows of a table include, by the row's fields: those of the same engine's file.
class Included {
 public:
  Included(const Reading& reading, const Source& of, std::span<const Source> sources) {
    if (reading.includes.empty()) return;
    for (const std::string_view name : reading.included_by)
      columns_.push_back(ColumnOf(of.table, name));
    for (const Source& source : sources) {
      if (source.name.table != reading.includes || source.name.engine != of.name.engine) continue;
      std::vector<size_t> columns;
      for (const std::string_view name : reading.included_by)
        columns.push_back(ColumnOf(source.table, name));
      const size_t us = ColumnOf(source.table, "latency_us");
      for (size_t r = 0; r < source.table.rows(); ++r)
        us_[JoinedAt(source.table, r, columns)] = source.table.Number(r, us, 1e-3, kGreatestNumber);
    }
  }
  // 0 where it was not measured.
  double In(const Measurements& table, size_t row) const {
    const auto found = us_.find(JoinedAt(table, row, columns_));
    return found == us_.end() ? 0 : found->second;
  }

 private:
  std::vector<size_t> columns_;
  std::map<std::string, double> us_;
};

void Read(const Reading& reading, const Measurements& table, const Included& included,
          CurveTableBuilder& out) {
  std::vector<std::pair<size_t, std::string_view>> where;
  for (const auto& [column, value] : reading.where)
    where.emplace_back(ColumnOf(table, column), value);
  std::vector<KeyReader> keys;
  for (const std::string_view key : reading.keys) keys.emplace_back(table, key);
  const size_t axis = ColumnOf(table, reading.axis), us = ColumnOf(table, "latency_us");
  for (size_t r = 0; r < table.rows(); ++r) {
    const bool wanted = std::all_of(where.begin(), where.end(), [&](const auto& w) {
      return table.Text(r, w.first) == w.second;
    });
    if (!wanted) continue;
    std::vector<std::string> key;
    for (const KeyReader& reader : keys) key.push_back(reader.Of(r));
    out.Add(
        std::move(key), table.Number(r, axis, 0, kGreatestNumber) + reading.axis_add,
        table.Number(r, us, 1e-3 + included.In(table, r), kGreatestNumber) - included.In(table, r));
  }
}

// The table as one engine has it, or the first that has it where `engine` is empty; nothing where
// no source does.
std::optional<EngineTable> ReadTable(std::span<const Source> sources, const TableKind& kind,
                                     std::string_view engine) {
  CurveTableBuilder builder({kind.keys.begin(), kind.keys.end()}, std::string(kind.axis));
  std::string found, version;
  HeadSizes heads;
  for (const Reading& reading : Readings()) {
    if (reading.table != kind.id) continue;
    for (const Source& source : sources) {
      if (source.name.table != reading.source) continue;
      if (engine.empty() ? !found.empty() && found != source.name.engine
                         : engine != source.name.engine)
        continue;
      found = source.name.engine;
      version = source.name.version;
      heads = reading.heads;
      Read(reading, source.table, Included(reading, source, sources), builder);
    }
  }
  CurveTable table = builder.Build();
  table.heads = heads;
  if (table.rows.empty()) return std::nullopt;
  return EngineTable{std::move(table), found, version};
}

}  // namespace

std::optional<MeasuredTable> ReadMeasured(std::span<const Source> sources, const TableKind& kind) {
  EngineChoice choice{kind.id, "", ""};
  for (const EngineChoice& c : kEngines)
    if (c.table == kind.id) choice = c;
  std::optional<EngineTable> table = ReadTable(sources, kind, choice.engine), compared;
  if (!choice.compared.empty()) compared = ReadTable(sources, kind, choice.compared);
  if (!table) std::swap(table, compared);
  if (!table) return std::nullopt;
  return MeasuredTable{*std::move(table), std::move(compared)};
}

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

bool IsMeasuredTable(std::string_view table) {
  return std::any_of(Readings().begin(), Readings().end(), [table](const Reading& r) {
    return r.source == table || (!r.includes.empty() && r.includes == table);
  });
}

}  // namespace moecast
