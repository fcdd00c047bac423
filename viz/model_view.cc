#include "viz/model_view.h"

#include <algorithm>
#include <vector>

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

constexpr int64_t kLongContext = 128 * 1024;

struct Part {
  const char* name;
  int64_t LayerParts::*parameters;
};
constexpr Part kParts[] = {
    {"attention", &LayerParts::attention},
    {"norms", &LayerParts::norms},
    {"router", &LayerParts::router},
    {"shared_experts", &LayerParts::shared_experts},
    {"routed_experts", &LayerParts::routed_experts},
    {"dense_mlp", &LayerParts::dense_mlp},
};

struct FlopsPart {
  const char* name;
  double LayerFlops::*flops;
};
constexpr FlopsPart kFlopsParts[] = {
    {"attention_projections", &LayerFlops::attention_projections},
    {"attention_core", &LayerFlops::attention_core},
    {"router", &LayerFlops::router},
    {"shared_experts", &LayerFlops::shared_experts},
    {"routed_experts", &LayerFlops::routed_experts},
    {"dense_mlp", &LayerFlops::dense_mlp},
};

Json PartsJson(const LayerParts& parts) {
  Json json = Json::object();
  for (const Part& part : kParts) json[part.name] = parts.*part.parameters;
  json["total"] = parts.total();
  return json;
}

Json FlopsJson(const LayerFlops& flops) {
  Json json = Json::object();
  for (const FlopsPart& part : kFlopsParts) json[part.name] = flops.*part.flops;
  json["total"] = flops.total();
  return json;
}

constexpr char kNothing[] = "-";
std::string Millions(int64_t n) {
  return n == 0 ? kNothing : Printf("%.2f", static_cast<double>(n) * 1e-6);
}
std::string Giga(double flops) {
  return ShowNumber(flops * 1e-9, 4);
}

std::string Architecture(const Model& m) {
  std::string text = Printf("%d layers, hidden %d, vocabulary %d%s\n  ", m.layers(), m.hidden,
                            m.vocab, m.tied_embeddings ? ", tied embeddings" : "");
  text += m.attention.kind->describe(m.attention);
  text += "\n";
  if (m.moe.experts > 0) {
    text += Printf("  MoE of %d experts", m.moe.experts);
    if (m.moe.shared_experts > 0) text += Printf(" and %d shared", m.moe.shared_experts);
    text += Printf(", %d a token", m.moe.top_k);
    if (m.moe.groups > 1) text += Printf(" from %d of %d groups", m.moe.top_groups, m.moe.groups);
    text += "\n";
  }
  return text;
}

// Without the columns that hold nothing: a dense model has no experts to show.
Rows WithoutEmptyColumns(const Rows& rows) {
  Rows kept(rows.size());
  for (size_t column = 0; column < rows.front().size(); ++column) {
    const bool empty = std::all_of(rows.begin() + 1, rows.end(),
                                   [column](const auto& row) { return row[column] == kNothing; });
    for (size_t i = 0; i < rows.size() && !empty; ++i) kept[i].push_back(rows[i][column]);
  }
  return kept;
}

std::string LayerTable(const Model& m, int64_t sequence) {
  Rows rows = {{"layers", "kind", "attention", "router", "shared", "routed", "dense MLP", "total",
                "activated", "forward GFLOP"}};
  int first = 0;
  for (const LayerRun& run : m.runs) {
    const LayerParts parts = LayerParameters(m, run.kind);
    const int last = first + run.count - 1;
    rows.push_back(
        {first == last ? std::to_string(first) : Printf("%d-%d", first, last),
         std::string(NameOf(run.kind)), Millions(parts.attention), Millions(parts.router),
         Millions(parts.shared_experts), Millions(parts.routed_experts), Millions(parts.dense_mlp),
         Millions(parts.total()), Millions(ActivatedLayerParameters(m, run.kind).total()),
         Giga(ForwardLayerFlops(m, run.kind, sequence).total())});
    first += run.count;
  }
  return Aligned(WithoutEmptyColumns(rows), "ll");
}

std::string BeyondPositions(const Model& m, int64_t tokens) {
  return tokens <= m.max_position
             ? ""
             : "beyond the model's " + Thousands(m.max_position) + " positions";
}

Bytes LongContextKv(const Model& m, const ModelViewOptions& options) {
  return Bytes(static_cast<double>(KvElements(m, kLongContext)) * options.kv_bits / 8);
}

}  // namespace

Json ModelJson(const Model& m, const ModelViewOptions& options) {
  Json json = Json::object();
  json["name"] = m.name;
  json["attention"] = m.attention.kind->name;
  json["total_parameters"] = TotalParameters(m);
  json["activated_parameters"] = ActivatedParameters(m, InputEmbedding::kCounted);
  json["activated_parameters_without_input_embedding"] =
      ActivatedParameters(m, InputEmbedding::kLeftOut);
  json["embedding_parameters"] = EmbeddingParameters(m);
  json["head_parameters"] = HeadParameters(m);
  json["mtp_parameters"] = MtpParameters(m);
  json["kv_elements_per_token"] = KvElementsPerToken(m);
  json["kv_bits"] = options.kv_bits;
  json["kv_bytes_per_token"] = KvBytesPerToken(m, options.kv_bits).value;
  json["kv_bytes_at_131072_tokens"] = LongContextKv(m, options).value;
  json["sequence_length"] = options.sequence;
  json["forward_flops_per_token"] = ForwardFlopsPerToken(m, options.sequence);
  json["training_flops_per_token"] = TrainingFlopsPerToken(m, options.sequence);
  json["head_flops_per_token"] = HeadFlops(m);
  json["mtp_forward_flops_per_token"] = MtpForwardFlopsPerToken(m, options.sequence);
  json["flops_convention"] = kFlopsConvention;
  json["layers"] = Json::array();
  int first = 0;
  for (const LayerRun& run : m.runs) {
    json["layers"].push_back(
        {{"kind", NameOf(run.kind)},
         {"first", first},
         {"count", run.count},
         {"parameters_per_layer", PartsJson(LayerParameters(m, run.kind))},
         {"activated_parameters_per_layer", PartsJson(ActivatedLayerParameters(m, run.kind))},
         {"forward_flops_per_token_per_layer",
          FlopsJson(ForwardLayerFlops(m, run.kind, options.sequence))}});
    first += run.count;
  }
  return json;
}

std::string ModelText(const Model& m, const ModelViewOptions& options) {
  const int64_t s = options.sequence;
  Rows rows;
  const auto parameters = [&rows](const char* what, int64_t n) {
    rows.push_back({what, ShowCount(static_cast<double>(n)), Thousands(n)});
  };
  parameters("total parameters", TotalParameters(m));
  parameters("activated", ActivatedParameters(m, InputEmbedding::kCounted));
  parameters("  without the input embedding", ActivatedParameters(m, InputEmbedding::kLeftOut));
  if (m.mtp_layers > 0) parameters("MTP, beside the total", MtpParameters(m));
  rows.push_back({"KV cache of a token", ShowBytes(KvBytesPerToken(m, options.kv_bits)),
                  Printf("%s elements of %g bits", Thousands(KvElementsPerToken(m)).c_str(),
                         options.kv_bits)});
  rows.push_back({"KV cache of " + Thousands(kLongContext) + " tokens",
                  ShowBytes(LongContextKv(m, options)), BeyondPositions(m, kLongContext)});
  rows.push_back({"forward GFLOP a token", Giga(ForwardFlopsPerToken(m, s)),
                  "in a sequence of " + Thousands(s)});
  rows.push_back(
      {"training GFLOP a token", Giga(TrainingFlopsPerToken(m, s)), BeyondPositions(m, s)});
  return m.name + ": " + Architecture(m) + "\n" + Aligned(rows, "lrl") +
         "\n  One layer: parameters in millions, forward GFLOP a token\n" + LayerTable(m, s) +
         "\n  Flops: " + std::string(kFlopsConvention) + ".\n";
}

}  // namespace moecast
