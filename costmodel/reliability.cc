#include "costmodel/reliability.h"

#include <cmath>

#include "base/check.h"
#include "base/fields.h"
#include "costmodel/memory.h"

namespace moecast {

const Fields<Reliability>& FieldsOf(const Reliability*) {
  constexpr double kHour = Hours(1).value, kYear = 365 * 24 * kHour;
  static const Fields<Reliability> fields(
      "reliability", {
                         Row("mtbf_per_gpu", &Reliability::mtbf_per_gpu,
                             "mean time between failures of one GPU and its share of the node, "
                             "network and software; the "
                             "default is Llama 3's: 419 interruptions in 54 days on 16,384 GPUs "
                             "(arXiv 2407.21783, section "
                             "3.3.4)",
                             {.low = kHour, .high = 1e6 * kYear}),
                         Row("checkpoint_interval", &Reliability::checkpoint_interval,
                             "training time from one checkpoint to the next; absent: the interval "
                             "that makes the run "
                             "shortest",
                             {.low = 1, .high = kYear}),
                         Row("checkpoint_write", &Reliability::checkpoint_write,
                             "time for which a checkpoint stops training; absent: weights and "
                             "optimizer states over "
                             "checkpoint_bandwidth",
                             {.low = 0, .high = kYear}),
                         Row("checkpoint_bandwidth", &Reliability::checkpoint_bandwidth,
                             "rate at which a node writes its share of a checkpoint; the default "
                             "is that of DeepSeek's 3FS "
                             "(arXiv 2408.14158)",
                             {.low = 1e6, .high = 1e13}),
                         Row("restart", &Reliability::restart,
                             "time from a failure until training goes on; the default is the bound "
                             "of arXiv 2402.15627, "
                             "section 6.3, on finding and diagnosing it",
                             {.low = 0, .high = kYear}),
                     });
  return fields;
}

Bytes CheckpointBytes(const Model& model, const Precision& precision) {
  const ShardPlan whole{.zero = 0, .precision = precision};
  const StateBytes states = StatesOf({.data = static_cast<double>(TotalParameters(model))}, whole);
  return states.weights + states.optimizer();
}

Outages OutagesOf(const Reliability& r, const Model& model, const Plan& plan,
                  const Cluster& cluster) {
  const double gpus = static_cast<double>(plan.parallel.gpus());
  const double nodes = std::ceil(gpus / cluster.gpus_per_node);
  return {.mtbf = r.mtbf_per_gpu / gpus,
          .checkpoint_write = r.checkpoint_write.value_or(CheckpointBytes(model, plan.precision) /
                                                          (r.checkpoint_bandwidth * nodes)),
          .restart = r.restart};
}

double WallPerWork(const Outages& o, Seconds interval) {
  MOECAST_CHECK(interval.value > 0);
  // expm1 keeps the digits where failures are rare.
  return std::exp(o.restart / o.mtbf) * std::expm1((interval + o.checkpoint_write) / o.mtbf) *
         (o.mtbf / interval);
}

Seconds BestInterval(const Outages& o) {
  // Setting the derivative by tau to zero, with x = tau / M: (1 - x) e^x = e^(-delta/M), whose left
  // side falls from 1 to 0 over 0 .. 1. Written for the small differences from 1.
  const double right = -std::expm1(-(o.checkpoint_write / o.mtbf));
  double low = 0, high = 1;
  for (int i = 0; i < 64; ++i) {
    const double x = (low + high) / 2;
    const double left = x * std::exp(x) - std::expm1(x);  // 1 - (1 - x) e^x
    (left < right ? low : high) = x;
  }
  return o.mtbf * low;
}

}  // namespace moecast
