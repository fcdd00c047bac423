#include "scenarios/calibrate/evidence.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "base/quantity_text.h"
#include "costmodel/calibration/judge/error_levels.h"
#include "costmodel/calibration/tables.h"

namespace moecast {

double FourDigits(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", x);
  return *ParseNumber(text);
}

void FitElementwise(std::span<const Measurements> profiles, const Device& device,
                    CalibrationFile& file) {
  constexpr double kLongUs = 50, kElement = 2, kHeadDim = 128;
  std::map<std::string, std::vector<double>> shares;
  std::vector<double> smallest;
  for (const Measurements& t : profiles) {
    const auto column = [&](std::string_view name) { return t.Column(name); };
    const size_t tp = column("tp");
    const size_t tokens = column("num_tokens");
    const size_t hidden = column("n_embd");
    const size_t wide = column("n_expanded_embd");
    const size_t heads = column("n_head");
    const size_t kv_heads = column("n_kv_head");
    for (size_t r = 0; r < t.rows(); ++r) {
      const auto number = [&](size_t c) { return t.Number(r, c, 1, kGreatestNumber); };
      const double n = number(tokens);
      const double h = number(hidden);
      const double split = number(tp);
      const auto note = [&](const char* kind, std::string_view name, double elements) {
        const double us = t.Number(r, column(name), 0, kGreatestNumber);
        if (us >= kLongUs)
          shares[kind].push_back(elements * kElement / (us * 1e-6) / device.hbm.value);
      };
      note("add", "add_us", 3 * n * h);
      note("rmsnorm", "input_layernorm_us", 2 * n * h);
      note("rmsnorm", "post_attention_layernorm_us", 2 * n * h);
      note("swiglu", "mlp_act_us", 3 * n * number(wide) / split);
      note("rope", "attn_rope_us", 2 * n * (number(heads) + number(kv_heads)) * kHeadDim / split);
      note("embedding", "emb_us", 2 * n * h);
      if (n <= 8) smallest.push_back(t.Number(r, column("add_us"), 0, kGreatestNumber));
    }
  }
  const char* source =
      "vLLM-era kernels on H100, Vidur profiles (MIT): median share of HBM bandwidth, calls of 50 "
      "us and more";
  for (const auto& [kind, values] : shares)
    file.fits.push_back({"elementwise_" + kind + "_share", FourDigits(Median(values)),
                         static_cast<int64_t>(values.size()), source});
  if (!smallest.empty())
    file.fits.push_back(
        {"elementwise_launch_us", Median(smallest), static_cast<int64_t>(smallest.size()),
         "residual add of at most 8 tokens on H100, Vidur profiles (MIT): median time"});
}

void CheckGrouped(const Measurements& t, const Calibration& calibration, CalibrationFile& file) {
  const size_t layout = t.Column("layout");
  const size_t groups = t.Column("groups");
  const size_t m = t.Column("M_per_group");
  const size_t n = t.Column("N");
  const size_t k = t.Column("K");
  const size_t us = t.Column("implied_time_us");
  const size_t date = t.Column("readme_commit_date");
  std::map<std::vector<int64_t>, std::pair<std::string, double>> newest;
  for (size_t r = 0; r < t.rows(); ++r) {
    if (t.Text(r, layout) != "grouped_contiguous") continue;
    std::vector<int64_t> shape;
    for (const size_t c : {groups, m, n, k}) shape.push_back(t.Integer(r, c, 1, 1'000'000'000));
    auto& entry = newest[shape];
    if (std::string(t.Text(r, date)) >= entry.first)
      entry = {std::string(t.Text(r, date)), t.Number(r, us, 1e-3, kGreatestNumber)};
  }
  if (newest.empty()) return;
  std::vector<double> logs;
  for (const auto& [s, measured] : newest) {
    const Cost cost = calibration.GroupedGemm({s[0], s[0] * s[1], s[2], s[3], Dtype::kFp8Block});
    logs.push_back(std::log(cost.time.value * 1e6 / measured.second));
  }
  double sum = 0;
  for (const double x : logs) sum += std::fabs(x);
  file.fits.push_back({"grouped_fp8_block_estimate_over_measured",
                       FourDigits(std::exp(Median(logs))), static_cast<int64_t>(logs.size()),
                       "DeepGEMM README (MIT), H800, grouped contiguous layout: median of estimate "
                       "over measurement"});
  const std::string name = ReasonedName(static_cast<int>(ReasonedId::kGroupedFp8Block));
  for (ReasonedRecord& reasoned : file.reasoned)
    if (reasoned.name == name)
      reasoned.sigma_table = FourDigits(sum / static_cast<double>(logs.size()));
}

}  // namespace moecast
