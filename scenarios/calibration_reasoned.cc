#include "scenarios/calibration_reasoned.h"

#include "base/check.h"

namespace moecast {
namespace {

constexpr const char* kFused =
    "reasoned, fused training kernels: RMSNorm with fp8 output moves 2.1 of 3.35 TB/s on H100 "
    "(sgl-project/sglang pull "
    "32994), hand-tuned reductions 3.0 (Dao-AILab QuACK, 2025), torch.compile and Liger a third less than "
    "those; kernels of "
    "serving engines are slower (see fits)";

std::vector<ReasonedRecord> Kernels2025() {
  return {
      {"main_grad_exposed", 0.5, 0.05, 0,
       "reasoned: share of the main gradient's traffic that no other tile's arithmetic hides; between none "
       "(persistent "
       "kernels) and all (one wave)"},
      {"wgrad", 1.05, 0.08, 0.04,
       "reasoned: both operands are read across their rows and the sum runs over the tokens; no measurement "
       "in the tables"},
      {"wgrad_fp8_block", 1.35, 0.12, 0.06,
       "deepseek-ai/DeepGEMM issue 107: weight-gradient kernels reach 813 to 1044 TFLOP/s on H200 where its "
       "forward reaches "
       "about 1300, since both operands carry scales along the sum"},
      {"gemm_bf16", 1.0, 0, 0, "as measured; an older stack may know better"},
      {"grouped_bf16", 1.0, 0.10, 0.06,
       "reasoned: sm90 grouped kernels run the tiles of dense ones; 10% from the ragged ends of groups and "
       "tile scheduling"},
      {"grouped_fp8", 1.0, 0.12, 0.06, "reasoned: as grouped_bf16, with less tuned kernels"},
      {"grouped_fp8_block", 1.0, 0.05, 0.06,
       "checked against DeepGEMM's grouped contiguous rows on H800; sigma_table is the mean error there"},
      {"attention_by_length", 1.0, 0.08, 0.05,
       "reasoned: read off charts to about 2%; other head counts and batches than the figure's 16384 tokens"},
      {"attention_backward", 1.0, 0.10, 0.04,
       "forward-to-backward ratios of FlashAttention-3 and cuDNN differ by 4 to 10% (arXiv 2407.08608, "
       "figures 5 and 6)"},
      {"attention_wide_heads", 1.0, 0.10, 0.03,
       "reasoned: query and key heads of 192 taken from rates of 128 and 256; more registers and shared "
       "memory a tile"},
      {"elementwise_launch_us", 2.0, 0.10, 0.2,
       "smallest calls in the tables take 1 to 3 us, ramp-up and tail included; back to back in a stream the "
       "host's launch "
       "is hidden"},
      {"elementwise_rmsnorm", 0.70, 0.20, 0.08, kFused},
      {"elementwise_rope", 0.65, 0.25, 0.08, kFused},
      {"elementwise_swiglu", 0.75, 0.20, 0.08, kFused},
      {"elementwise_add", 0.88, 0.08, 0.05,
       "streaming add and copy reach about 3.0 of 3.35 TB/s on H100; the Vidur rows (97%) profit from the "
       "second-level cache"},
      {"elementwise_embedding", 0.60, 0.25, 0.10, kFused},
      {"elementwise_permute", 0.65, 0.25, 0.10,
       "reasoned: rows of several KiB gathered or scattered whole; deepseek-ai/DeepEP and Transformer Engine "
       "permute kernels "
       "stream near copy speed, the weighted sum reads top-k rows for one written"},
      {"elementwise_cast", 0.75, 0.20, 0.08, kFused},
      {"elementwise_softmax", 0.65, 0.25, 0.10, kFused},
      {"elementwise_optimizer", 0.80, 0.12, 0.05,
       "reasoned: multi-tensor Adam streams aligned fp32 buffers with no reuse, 75-90% of copy bandwidth"},
      {"elementwise_reduce", 0.80, 0.15, 0.05, "reasoned: reads once and writes nothing"},
  };
}

}  // namespace

CalibrationFile ReasonedCalibration(std::string_view stack) {
  CalibrationFile file;
  file.stack = stack;
  file.devices = {"h100", "h200", "h800"};
  if (stack == "2025") {
    file.description =
        "kernels of 2025-26 on Hopper: wgmma GEMMs and attention as measured on H100 SXM in short bursts; "
        "H800 has the same "
        "SMs, clocks and memory, H200 the same SMs and faster memory";
    file.attention_engine = "FlashAttention-3";
    file.attention_tables = true;
    file.reasoned = Kernels2025();
    return file;
  }
  MOECAST_CHECK(stack == "2024h1");
  file.description =
      "kernels of early 2024 on Hopper: cuBLAS GEMMs as in 2025, FlashAttention-2, grouped GEMMs without "
      "wgmma";
  file.base = "2025";
  file.attention_engine = "FlashAttention-2";
  constexpr const char* kGrouped =
      "NVIDIA/cutlass issue 1280 (December 2023): CUTLASS grouped GEMM, then with Ampere's mma, about 30% "
      "slower on H100 than "
      "a loop of cuBLAS GEMMs; a loop alone would be 1.0, and mma reaches about 60% of wgmma "
      "(FlashAttention-2 against 3), 1.67";
  file.reasoned = {{"grouped_bf16", 1.3, 0.20, 0.06, kGrouped}, {"grouped_fp8", 1.3, 0.22, 0.06, kGrouped}};
  return file;
}

}  // namespace moecast
