#include "sim/serving/decode_curve.h"

#include <algorithm>

#include "base/check.h"
#include "sim/serving/serving_memory.h"

namespace moecast {
namespace {

// From an iteration of a batch to its next, of pp batches alike: all stages and the host, or where
// that is longer the one in which they queue.
Seconds LoopOf(const EngineSpec& engine, IterationCosts& costs, const IterationWork& work,
               Seconds all) {
  const Seconds host = engine.OverheadOf(work.sequences(), all, costs.KernelsOf(work));
  Seconds longest = host;
  for (int s = 0; costs.stages() > 1 && s < costs.stages(); ++s)
    longest = std::max(longest, costs.OfStage(work, s).total);
  return std::max(all + host, longest * costs.stages());
}

DecodePoint PointOf(const ServingRun& run, IterationCosts& costs, int64_t context,
                    int64_t sequences) {
  const Deployment& d = run.deployment;
  const int64_t batch = (sequences + d.parallel.pp - 1) / d.parallel.pp;
  IterationWork work;
  work.decode = DecodeOf(batch, batch * context, 1 + d.engine.num_speculative_tokens);
  work.mean_tokens = static_cast<double>(work.decode.tokens);
  work.halved = d.engine.Halves(work.decode.tokens, false);
  DecodePoint point{.sequences = sequences};
  const BlockTime time = costs.Of(work);
  point.iteration = LoopOf(d.engine, costs, work, time.total);
  point.longest = static_cast<OpClass>(std::max_element(time.busy.begin(), time.busy.end()) -
                                       time.busy.begin());
  point.tokens_per_user = d.engine.TokensPerStep() / point.iteration.value;
  point.output_throughput =
      point.tokens_per_user * static_cast<double>(sequences * d.parallel.dp * d.replicas);
  point.tokens_per_gpu = point.output_throughput / (d.replicas * d.parallel.gpus());
  return point;
}

// Sequences of a dp rank that the engine and its cache hold.
int64_t MostSequences(const ServingRun& run, const ServingMemory& memory, int64_t context) {
  const int64_t block = run.deployment.engine.block_size;
  const int64_t blocks = (context + block - 1) / block;
  return std::min(run.deployment.engine.max_num_seqs, memory.blocks / blocks);
}

}  // namespace

std::vector<DecodePoint> DecodeCurve(const ServingRun& run, IterationCosts& costs,
                                     int64_t context) {
  MOECAST_CHECK(context >= 1);
  const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
  const int64_t most = MostSequences(run, memory, context);
  std::vector<DecodePoint> curve;
  for (int64_t n = 1; n < most; n *= 2) curve.push_back(PointOf(run, costs, context, n));
  if (most > 0) curve.push_back(PointOf(run, costs, context, most));
  return curve;
}

std::optional<int64_t> LongestContextFor(const ServingRun& run, IterationCosts& costs,
                                         double output_throughput) {
  const ServingMemory memory = ServingMemoryOf(run.deployment, run.model, run.cluster);
  const auto reaches = [&](int64_t context) {
    const int64_t most = MostSequences(run, memory, context);
    return most > 0 && PointOf(run, costs, context, most).output_throughput >= output_throughput;
  };
  if (!reaches(1)) return std::nullopt;
  int64_t low = 1, high = run.model.max_position + 1;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (reaches(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace moecast
