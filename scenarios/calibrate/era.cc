#include "scenarios/calibrate/era.h"

#include <algorithm>
#include <cmath>

#include "base/known.h"
#include "costmodel/calibration/judge/error_levels.h"

namespace moecast {
namespace {

constexpr int64_t kLeastRows = 1024;  // where arithmetic binds, as it does in training
constexpr int64_t kHeadDim = 128;
constexpr Known kEraSigmaTable = {0.05, "reasoned: one version of cuBLAS on one card"};

// A factor near 1 with four decimals: a hundredth of its error.
double Rounded(double x) {
  return std::round(x * 1e4) / 1e4;
}

}  // namespace

void FitGemmEra(std::span<const Measurements> profiles, const Calibration& younger,
                CalibrationFile& older) {
  constexpr const char* kName = "gemm_bf16";
  std::erase_if(older.reasoned, [](const ReasonedRecord& r) { return r.name == kName; });
  std::vector<double> logs;  // of measured / estimated
  for (const Measurements& t : profiles) {
    if (t.file().find("Llama") == std::string::npos) continue;
    for (size_t r = 0; r < t.rows(); ++r) {
      const auto whole = [&](const char* column) {
        return t.Integer(r, t.Column(column), 1, 1'000'000'000);
      };
      const int64_t m = whole("num_tokens");
      const int64_t tp = whole("tp");
      const int64_t h = whole("n_embd");
      const int64_t wide = whole("n_expanded_embd");
      const int64_t qkv = (whole("n_head") + 2 * whole("n_kv_head")) * kHeadDim;
      if (m < kLeastRows || tp > h || tp > wide) continue;
      const auto note = [&](const char* column, int64_t n, int64_t k) {
        const double us = t.Number(r, t.Column(column), 1e-3, kGreatestNumber);
        logs.push_back(std::log(us / (younger.Gemm({.m = m, .n = n, .k = k}).time.value * 1e6)));
      };
      note("attn_pre_proj_us", std::max<int64_t>(1, qkv / tp), h);
      note("attn_post_proj_us", h, h / tp);
      note("mlp_up_proj_us", 2 * wide / tp, h);  // gate and up
      note("mlp_down_proj_us", h, wide / tp);
    }
  }
  if (logs.empty()) return;
  const double median = Median(logs);
  for (double& x : logs) x -= median;
  older.reasoned.push_back({kName, Rounded(std::exp(median)), kEraSigmaTable.value,
                            Rounded(Spread(logs)),
                            "projections of Llama-2-70B at tp 1 to 8, 1024 tokens and more, in the "
                            "H100 profiles of Vidur (MIT, early 2024): median of measured over the "
                            "tables of 2025; sigma_own is what single shapes deviate"});
}

}  // namespace moecast
