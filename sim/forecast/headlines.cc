#include "sim/forecast/headlines.h"

namespace moecast {

Headlines HeadlinesOf(const PreparedRun& run, size_t detailed, Seconds step,
                      std::span<const Expense> phases) {
  const PreparedPhase& p = run.phase(detailed);
  const double length = static_cast<double>(p.phase().sequence_length);
  Headlines h;
  h.step_time_s = step.value;
  h.tokens_per_gpu_per_s =
      static_cast<double>(p.phase().global_batch) * length / p.gpus() / step.value;
  h.model_tflops_per_gpu = h.tokens_per_gpu_per_s *
                           TrainingFlopsPerToken(p.run().model, p.phase().sequence_length) / 1e12;
  h.mfu = h.model_tflops_per_gpu * 1e12 / p.run().cluster.device.bf16_peak.value;
  Expense all;
  for (const Expense& e : phases) all += e;
  h.gpu_hours_per_trillion_tokens = all.gpu_hours / run.tokens() * 1e12;
  h.gpu_hours_total = all.gpu_hours;
  h.days = all.days;
  h.cost_usd = all.cost_usd;
  h.wall_days = all.wall_days;
  h.wall_cost_usd = all.wall_cost_usd;
  h.availability = all.days / all.wall_days;
  return h;
}

}  // namespace moecast
