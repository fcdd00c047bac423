#include "scenarios/claims/operator_claims.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/random.h"
#include "costmodel/calibration/table_kinds.h"
#include "costmodel/op.h"
#include "scenarios/claims/claim_table.h"

namespace moecast {
namespace {

// The number after `name=` among words such as "m=64 n=2112".
int64_t SizeOf(std::string_view shape, std::string_view name) {
  for (size_t at = 0; at < shape.size();) {
    const size_t end = std::min(shape.find(' ', at), shape.size());
    const std::string_view word = shape.substr(at, end - at);
    if (word.starts_with(name) && word.substr(name.size()).starts_with('='))
      return std::stoll(std::string(word.substr(name.size() + 1)));
    at = end + 1;
  }
  MOECAST_CHECK(false);
}

// How much work a claim's operator does, and what estimates it.
struct Estimate {
  const Calibration& calibration;
  Cost cost;
  double flops = 0, bytes = 0;

  void Of(Cost c, const OpQuery& q) {
    cost = c, flops = FlopsOf(q).value, bytes = BytesOf(q).value;
  }
  void operator()(const GemmQuery& q) { Of(calibration.Gemm(q), q); }
  void operator()(const GroupedGemmQuery& q) { Of(calibration.GroupedGemm(q), q); }
  void operator()(const AttentionQuery& q) { Of(calibration.Attention(q), q); }
  void operator()(const MlaDecodeQuery& q) {
    const MlaDecodeWork work = WorkOf(q);
    cost = calibration.MlaDecode(q), flops = work.flops(), bytes = work.bytes();
  }
};

}  // namespace

std::vector<OperatorClaim> LoadOperatorClaims() {
  const ClaimTable table("operators");
  std::vector<OperatorClaim> claims;
  for (size_t i = 0; i < table.rows(); ++i) {
    const ClaimRow row = table.Row(i);
    const std::string_view kind = row.Text("kind"), shape = row.Text("shape");
    const auto size = [shape](std::string_view name) { return SizeOf(shape, name); };
    const auto dtype = row.Name<Dtype>("dtype");
    OperatorClaim c{.name = std::string(row.Text("name")) + " " + std::string(shape),
                    .query = {},
                    .quantity = row.Name<OperatorQuantity>("quantity"),
                    .published = row.Number("published", 1e-3, kGreatestNumber),
                    .device = std::string(row.Text("device")),
                    .stack = std::string(row.Text("stack")),
                    .source = std::string(row.Text("source")),
                    .used_for_fitting = row.IsYes("used_for_fitting")};
    if (kind == "gemm") {
      c.query = GemmQuery{.m = size("m"), .n = size("n"), .k = size("k"), .dtype = dtype};
    } else if (kind == "grouped-gemm") {
      const int64_t groups = size("groups");
      c.query = GroupedGemmQuery{.groups = groups,
                                 .rows_total = groups * size("m"),
                                 .n = size("n"),
                                 .k = size("k"),
                                 .dtype = dtype};
    } else if (kind == "mla-decode") {
      c.query = MlaDecodeQuery{.heads = size("heads"),
                               .batch = size("batch"),
                               .context = size("context"),
                               .latent = {size("qk"), size("v")}};
    } else {
      c.query = AttentionQuery{.phase = row.Name<AttentionPhase>("kind"),
                               .heads = size("heads"),
                               .kv_heads = size("heads"),
                               .batch = size("batch"),
                               .query = size("query"),
                               .context = size("query"),
                               .causal = size("causal") == 1,
                               .dtype = dtype};
    }
    claims.push_back(std::move(c));
  }
  return claims;
}

Interval Predict(const OperatorClaim& claim, const Calibration& calibration) {
  Estimate estimate{calibration, {}};
  std::visit(estimate, claim.query);
  const double us = estimate.cost.time.value * 1e6,
               factor = std::exp(NormalQuantile(0.9) * SigmaOf(estimate.cost));
  if (claim.quantity == OperatorQuantity::kTimeUs) return {us / factor, us, us * factor};
  const double rate = claim.quantity == OperatorQuantity::kTflops ? estimate.flops / us * 1e-6
                                                                  : estimate.bytes / us * 1e-3;
  return {rate / factor, rate, rate * factor};
}

}  // namespace moecast
