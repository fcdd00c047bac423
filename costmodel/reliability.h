// From compute time to wall time: GPUs fail, the run goes back to its last checkpoint, and
// checkpoints cost time too. Failures are exponential and stop every GPU of the run. J. T. Daly, "A
// higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation
// Computer Systems 22 (2006): work T in segments tau, each followed by a checkpoint of delta, with
// a mean time M between failures and a restart R (during which it may fail again) takes
//   M e^(R/M) (e^((tau + delta)/M) - 1) T / tau
// in expectation. Left out: spare nodes that run out, slow GPUs that do not fail, checkpoints
// beside compute (their blocking part can be given).
#pragma once

#include <optional>

#include "base/fields_fwd.h"
#include "base/known.h"
#include "base/units.h"
#include "costmodel/model.h"
#include "costmodel/plan.h"
#include "topology/cluster.h"

namespace moecast {

inline constexpr Known kMtbfPerGpuHours{50677,
                                        "arXiv 2407.21783, section 3.3.4: 419 unexpected "
                                        "interruptions in 54 days on 16,384 H100; 54 * 24 * "
                                        "16384 / 419"};
inline constexpr Known kCheckpointBytesPerSecond{
    10.0 * (1 << 30),
    "arXiv 2408.14158 (DeepSeek's 3FS): checkpoints are written at over 10 GiB/s a node"};
inline constexpr Known kRestartSeconds{
    600, "arXiv 2402.15627, section 6.3: a failure is found and diagnosed in less than 10 minutes"};

struct Reliability {
  Seconds mtbf_per_gpu{kMtbfPerGpuHours.value * 3600};
  std::optional<Seconds> checkpoint_interval;  // absent: the best
  std::optional<Seconds> checkpoint_write;     // absent: from the bytes and the bandwidth
  BytesPerSecond checkpoint_bandwidth{kCheckpointBytesPerSecond.value};
  Seconds restart{kRestartSeconds.value};
  bool operator==(const Reliability&) const = default;
};
const Fields<Reliability>& FieldsOf(const Reliability*);

// What failures mean for the GPUs of one plan.
struct Outages {
  Seconds mtbf;              // of all GPUs together
  Seconds checkpoint_write;  // training stands still
  Seconds restart;
};
Outages OutagesOf(const Reliability& reliability, const Model& model, const Plan& plan,
                  const Cluster& cluster);

// Weights and optimizer states, each once.
Bytes CheckpointBytes(const Model& model, const Precision& precision);

// Expected wall time of a second of work. REQUIRES: interval > 0; no time so long that it
// overflows.
double WallPerWork(const Outages& outages, Seconds interval);

// The interval for which WallPerWork is least; 0 where checkpoints cost nothing.
Seconds BestInterval(const Outages& outages);

}  // namespace moecast
