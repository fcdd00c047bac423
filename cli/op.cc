// moecast op KIND: the time of one operator on a device.
#include "costmodel/op.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>

#include "base/error.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/named.h"
#include "costmodel/calibration/table_kinds.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"

namespace moecast {
namespace {

constexpr int64_t kLargest = int64_t{1} << 24;  // of one size; a thousand times what models have

struct Options {
  std::string device = "h800";
  std::string stack = "2025";
  std::string calibration;
  int64_t sms = 0;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t groups = 0;
  int64_t rows = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t qk_dim = 128;
  int64_t v_dim = 0;
  int64_t batch = 1;
  int64_t query = 0;
  int64_t context = 0;
  int64_t latent_qk = 0, latent_v = 0;
  int64_t tokens = 0;
  int64_t hidden = 0;
  int64_t inter = 0;
  int64_t experts = 0;
  int64_t top_k = 0;
  int64_t ep = 1;
  double kv_bits = 16;
  std::string dtype = "bf16";
  std::string kv_dtype = "bf16";
  std::string pass = "forward";
  std::string main_grad = "fp32";
  std::string phase = "train-forward";
  std::string kind, bytes, form;
  bool causal = true, batched = false;
};

// An operator's cost with what it does: flops and bytes as its algorithm needs them.
struct Operation {
  Cost cost;
  double flops = 0, bytes = 0;
};

int64_t Size(const char* option, int64_t value, int64_t low = 1, int64_t high = kLargest) {
  if (value < low || value > high)
    throw UserError({.file = option,
                     .value = std::to_string(value),
                     .expected = "from " + std::to_string(low) + " to " + std::to_string(high)});
  return value;
}

Operation Of(Cost cost, const OpQuery& query) {
  return {cost, FlopsOf(query).value, BytesOf(query).value};
}

Operation Gemm(const Calibration& c, const Options& o) {
  const GemmQuery q{Size("--m", o.m),
                    Size("--n", o.n),
                    Size("--k", o.k),
                    Named<Dtype>("--dtype", o.dtype),
                    Named<GemmPass>("--pass", o.pass),
                    Named<Dtype>("--main-grad", o.main_grad),
                    static_cast<int>(o.sms)};
  return Of(c.Gemm(q), q);
}

Operation GroupedGemm(const Calibration& c, const Options& o) {
  const GroupedGemmQuery q{Size("--groups", o.groups, 1, 1 << 14),
                           Size("--rows", o.rows),
                           Size("--n", o.n),
                           Size("--k", o.k),
                           Named<Dtype>("--dtype", o.dtype),
                           Named<GemmPass>("--pass", o.pass),
                           Named<Dtype>("--main-grad", o.main_grad),
                           static_cast<int>(o.sms),
                           o.batched};
  if (q.batched && q.rows_total % q.groups != 0)
    throw UserError({.file = "--rows",
                     .value = std::to_string(q.rows_total),
                     .expected = "a multiple of --groups " + std::to_string(q.groups)});
  return Of(c.GroupedGemm(q), q);
}

Operation Attention(const Calibration& c, const Options& o) {
  AttentionQuery q;
  q.phase = Named<AttentionPhase>("--phase", o.phase);
  q.heads = Size("--heads", o.heads, 1, 1 << 20);
  q.kv_heads = o.kv_heads == 0 ? q.heads : Size("--kv-heads", o.kv_heads, 1, q.heads);
  if (q.heads % q.kv_heads != 0)
    throw UserError({.file = "--kv-heads",
                     .value = std::to_string(q.kv_heads),
                     .expected = "a divisor of --heads " + std::to_string(q.heads)});
  q.qk_dim = Size("--qk-dim", o.qk_dim, 1, 4096);
  q.v_dim = o.v_dim == 0 ? q.qk_dim : Size("--v-dim", o.v_dim, 1, 4096);
  if (!o.form.empty())
    q.form = Named<AttentionForm>("--form", o.form);
  else if (q.v_dim != q.qk_dim)
    q.form = AttentionForm::kMla;
  q.batch = Size("--batch", o.batch);
  const bool decode = q.phase == AttentionPhase::kDecode;
  if (o.query == 0 && o.context == 0)
    throw UserError({.file = decode ? "--context" : "--query",
                     .value = "no value",
                     .expected = "a number of tokens"});
  q.query = o.query == 0 ? (decode ? 1 : o.context) : Size("--query", o.query);
  q.context = o.context == 0 ? q.query : Size("--context", o.context);
  if (q.context < q.query)
    throw UserError({.file = "--context",
                     .value = std::to_string(q.context),
                     .expected = "at least --query, " + std::to_string(q.query)});
  q.causal = o.causal;
  q.dtype = Named<Dtype>("--dtype", o.dtype);
  q.kv_dtype = Named<Dtype>("--kv-dtype", o.kv_dtype);
  return Of(c.Attention(q), q);
}

Operation MlaDecode(const Calibration& c, const Options& o) {
  if (!(o.kv_bits >= 1 && o.kv_bits <= 32))
    throw UserError(
        {.file = "--kv-bits", .value = ShowNumber(o.kv_bits), .expected = "from 1 to 32"});
  MlaDecodeQuery q{Size("--heads", o.heads, 1, 1 << 20), Size("--batch", o.batch),
                   Size("--context", o.context), o.kv_bits,
                   c.MeasuredHeads(TableId::kMlaDecodeBf16)};
  if (o.latent_qk != 0) q.latent.qk = Size("--qk-dim", o.latent_qk, 1, 1 << 16);
  if (o.latent_v != 0) q.latent.v = Size("--v-dim", o.latent_v, 1, q.latent.qk);
  const MlaDecodeWork work = WorkOf(q);
  return {c.MlaDecode(q), work.flops(), work.bytes()};
}

Operation Moe(const Calibration& c, const Options& o) {
  const MoeQuery q{Size("--tokens", o.tokens),
                   Size("--hidden", o.hidden),
                   Size("--inter", o.inter),
                   Size("--experts", o.experts, 1, 1 << 20),
                   Size("--topk", o.top_k, 1, o.experts),
                   Size("--ep", o.ep, 1, o.experts),
                   Named<Dtype>("--dtype", o.dtype)};
  if (q.experts % q.ep != 0)
    throw UserError({.file = "--ep",
                     .value = std::to_string(q.ep),
                     .expected = "a divisor of --experts " + std::to_string(q.experts)});
  const MoeWork work{static_cast<double>(q.tokens),
                     static_cast<double>(q.hidden),
                     static_cast<double>(q.inter),
                     static_cast<double>(q.experts),
                     static_cast<double>(q.top_k),
                     static_cast<double>(q.ep),
                     q.dtype};
  return {c.Moe(q), work.flops(), work.bytes()};
}

Operation Elementwise(const Calibration& c, const Options& o) {
  const auto kind = Named<ElementwiseKind>("--kind", o.kind);
  const auto bytes = ParseBytes(o.bytes);
  if (!bytes || !(bytes->value >= 1 && bytes->value <= 1e15))
    throw UserError({.file = "--bytes",
                     .value = "\"" + Shortened(o.bytes) + "\"",
                     .expected = "a size with a unit such as 64MiB"});
  return Of(c.Elementwise(kind, *bytes), ElementwiseQuery{kind, *bytes});
}

struct Kind {
  const char* name;
  const char* help;
  void (*define)(OptionList list, Options& o);
  Operation (*estimate)(const Calibration& c, const Options& o);
};

void Dtypes(OptionList list, Options& o) {
  list.Add("--dtype", o.dtype, "fp32, bf16, fp8 or fp8_block", {.show_default = true});
}
void ProductOptions(OptionList list, Options& o) {
  list.Add("--n", o.n, "columns of the output of the forward product", {.required = true});
  list.Add("--k", o.k, "length of the forward product's sum", {.required = true});
  Dtypes(list, o);
  list.Add("--pass", o.pass, "forward, dgrad or wgrad; m, n and k stay the forward's",
           {.show_default = true});
  list.Add("--main-grad", o.main_grad, "format a weight gradient is summed into",
           {.show_default = true});
  list.Add("--sms", o.sms, "streaming multiprocessors it may use, 0 for all",
           {.show_default = true});
}

constexpr Kind kKinds[] = {
    {"gemm", "y[m,n] = x[m,k] w[n,k]^T",
     [](OptionList list, Options& o) {
       list.Add("--m", o.m, "rows", {.required = true});
       ProductOptions(list, o);
     },
     Gemm},
    {"grouped-gemm", "one product a group, rows spread evenly",
     [](OptionList list, Options& o) {
       list.Add("--groups", o.groups, "groups (experts)", {.required = true});
       list.Add("--rows", o.rows, "rows of all groups together", {.required = true});
       list.AddFlag("--batched", o.batched,
                    "one batched product of equal groups, as MLA's absorbed up-projections are, a "
                    "group a head");
       ProductOptions(list, o);
     },
     GroupedGemm},
    {"attention", "core attention in plain form (multi-head, grouped or MLA's)",
     [](OptionList list, Options& o) {
       list.Add("--phase", o.phase, "train-forward, train-backward, prefill or decode",
                {.show_default = true});
       list.Add("--heads", o.heads, "query heads", {.required = true});
       list.Add("--kv-heads", o.kv_heads, "key and value heads; all heads where not given");
       list.Add("--qk-dim", o.qk_dim, "dimension of a query and key head", {.show_default = true});
       list.Add("--v-dim", o.v_dim, "dimension of a value head; as --qk-dim where not given");
       list.Add(
           "--form", o.form,
           "heads (multi-head, grouped-query) or mla; mla where not given and --v-dim differs");
       list.Add("--batch", o.batch, "sequences", {.show_default = true});
       list.Add("--query", o.query, "new tokens of each sequence");
       list.Add("--context", o.context,
                "keys of each sequence, new tokens included; as --query where not given");
       list.AddFlag("--causal,!--no-causal", o.causal,
                    "each token sees itself and what precedes it (default)");
       Dtypes(list, o);
       list.Add("--kv-dtype", o.kv_dtype, "format of the cached keys and values",
                {.show_default = true});
     },
     Attention},
    {"mla-decode", "MLA decode in absorbed form, one query token a sequence",
     [](OptionList list, Options& o) {
       list.Add("--heads", o.heads, "heads on this device", {.required = true});
       list.Add("--batch", o.batch, "sequences", {.show_default = true});
       list.Add("--context", o.context, "cached tokens of each", {.required = true});
       list.Add("--kv-bits", o.kv_bits, "bits of a cached element", {.show_default = true});
       list.Add("--qk-dim", o.latent_qk,
                "elements of a cached key; those measured where not given");
       list.Add("--v-dim", o.latent_v,
                "elements of a cached key that are its value; those measured where not given");
     },
     MlaDecode},
    {"moe", "fused inference MoE layer on one rank, balanced routing",
     [](OptionList list, Options& o) {
       list.Add("--tokens", o.tokens, "tokens of all ranks together", {.required = true});
       list.Add("--hidden", o.hidden, "hidden size", {.required = true});
       list.Add("--inter", o.inter, "intermediate size of an expert", {.required = true});
       list.Add("--experts", o.experts, "routed experts of the layer", {.required = true});
       list.Add("--topk", o.top_k, "experts a token goes to", {.required = true});
       list.Add("--ep", o.ep, "ranks the experts are spread over", {.show_default = true});
       Dtypes(list, o);
     },
     Moe},
    {"elementwise", "a kernel that streams through memory",
     [](OptionList list, Options& o) {
       list.Add("--kind", o.kind,
                "rmsnorm, rope, swiglu, add, embedding, permute, cast, softmax, optimizer, reduce",
                {.required = true});
       list.Add("--bytes", o.bytes, "read and written, each once, with a unit", {.required = true});
     },
     Elementwise},
};

void Report(const CommonOptions& common, const Calibration& c, const Operation& op) {
  constexpr double kZ = 1.2815515655446004;  // 90th percentile of the normal distribution
  const double us = op.cost.time.value * 1e6, sigma = SigmaOf(op.cost);
  const double p10 = us * std::exp(-kZ * sigma), p90 = us * std::exp(kZ * sigma);
  const double tflops = op.flops / us * 1e-6, gbps = op.bytes / us * 1e-3;
  const std::string source = TextOf(c.sources()[op.cost.source]);
  const Json json = {{"time_us", us},
                     {"p10_us", p10},
                     {"p90_us", p90},
                     {"tflops", tflops},
                     {"gbps", gbps},
                     {"bound", std::string(NameOf(op.cost.bound))},
                     {"source", source},
                     {"sigma_table", op.cost.sigma_table},
                     {"sigma_curve", op.cost.sigma_curve},
                     {"sigma_own", op.cost.sigma_own},
                     {"extrapolated", op.cost.extrapolated},
                     {"flops", op.flops},
                     {"bytes", op.bytes}};
  char text[256];
  std::snprintf(
      text, sizeof text,
      "time       %s   (80%% interval %s - %s)\nreaches    %s TFLOP/s, %s GB/s\nbound by   %s\n",
      ShowSeconds(op.cost.time, 4).c_str(), ShowSeconds(Seconds(p10 * 1e-6)).c_str(),
      ShowSeconds(Seconds(p90 * 1e-6)).c_str(), ShowNumber(tflops, 4).c_str(),
      ShowNumber(gbps, 4).c_str(), std::string(NameOf(op.cost.bound)).c_str());
  char errors[128];
  std::snprintf(errors, sizeof errors,
                "errors     %.1f%% common to the table, %.1f%% to the curve, %.1f%% own\n",
                100 * op.cost.sigma_table, 100 * op.cost.sigma_curve, 100 * op.cost.sigma_own);
  Emit(common, json,
       std::string(text) + errors + "source     " + source +
           (op.cost.extrapolated ? "\n           beyond what was measured\n" : "\n"));
}

}  // namespace

Action DefineOp(OptionList list, const CommonOptions& common) {
  const auto options = std::make_shared<Options>();
  std::vector<OptionList> kinds;
  for (const Kind& kind : kKinds) {
    OptionList of_kind = list.AddKind(kind.name, kind.help);
    kind.define(of_kind, *options);
    kinds.push_back(of_kind);
  }
  list.Add("--device", options->device, "built-in device or the path of a file",
           {.show_default = true});
  list.Add("--stack", options->stack, "whose kernels: 2025 or 2024h1", {.show_default = true});
  list.Add("--calibration", options->calibration,
           "directory of `calibrate import`; the built-in one where not given");
  // Words that are no kind and no option come to the action, which can name the nearest.
  list.KeepOtherWords();
  return [options, kinds, list, &common] {
    const auto named =
        std::find_if(kinds.begin(), kinds.end(), [](const OptionList& k) { return k.named(); });
    if (named == kinds.end()) {
      std::vector<std::string_view> names;
      for (const Kind& kind : kKinds) names.push_back(kind.name);
      const std::vector<std::string> words = list.OtherWords();
      const std::string word = words.empty() ? "" : words.front();
      throw UserError(
          {.file = "op",
           .value = words.empty() ? "no kind of operator" : "\"" + Shortened(word) + "\"",
           .expected = "one of " + Join(names),
           .hint = Nearest(word, names)});
    }
    const Kind& kind = kKinds[named - kinds.begin()];
    if (const std::vector<std::string> words = list.OtherWords(); !words.empty())
      throw UserError(
          {.file = std::string("op ") + kind.name,
           .value = "\"" + Shortened(words.front()) + "\"",
           .expected = "an option of `moecast op " + std::string(kind.name) + " --help`"});
    const Device device = LoadDevice(options->device);
    Size("--sms", options->sms, 0, device.sms);
    const Calibration calibration = LoadCalibration(device, options->stack, options->calibration);
    Report(common, calibration, kind.estimate(calibration, *options));
  };
}

}  // namespace moecast
