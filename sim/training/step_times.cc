// How long a prepared step takes, with the times of its ops given.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/random.h"
#include "sim/training/step.h"

namespace moecast {
namespace {

Seconds Median(const Cost& cost, uint64_t) {
  return cost.time;
}

double NoiseOf(const Cost& cost, const Noise& noise, uint64_t position) {
  double shift = noise.by_source.at(cost.source) * cost.sigma_table;
  if (noise.curve_seed != 0 && cost.sigma_curve > 0)
    shift += Random(noise.curve_seed ^ cost.curve).Normal() * cost.sigma_curve;
  if (noise.own_seed != 0 && cost.sigma_own > 0)
    shift += Random(noise.own_seed ^ (position * 0x9e3779b97f4a7c15ULL)).Normal() * cost.sigma_own;
  return std::exp(shift);
}

}  // namespace

Seconds PreparedStep::TimeIn(const CostedOps& ops, size_t i, const OpTimes& time_of, uint64_t salt) const {
  return time_of(ops.costs[i], salt * 64 + i + (uint64_t{1} << 32));
}
Seconds PreparedStep::Total(const CostedOps& ops, const OpTimes& time_of, uint64_t salt) const {
  Seconds total;
  for (size_t i = 0; i < ops.costs.size(); ++i) total += TimeIn(ops, i, time_of, salt);
  return total;
}

// What is offloaded runs beside the device's own share, bucket by bucket, or one thing after another. Weights
// are cast when all are there.
Seconds PreparedStep::OptimizerTime(int stage, const OpTimes& time_of) const {
  constexpr uint64_t kSalt = 101;
  const CostedOps& ops = optimizer_[stage];
  if (!run_.plan.overlap.offload || run_.plan.optimizer.offload == 0) return Total(ops, time_of, kSalt);
  Seconds longest, cast;
  for (size_t i = 0; i < ops.costs.size(); ++i) {
    const Seconds t = TimeIn(ops, i, time_of, kSalt);
    if (ops.ops[i].name == OpName::kWeightCast)
      cast = t;
    else
      longest = std::max(longest, t);
  }
  return longest + cast;
}

std::vector<Time> PreparedStep::Durations(const SolvedBlocks& solved, const OpTimes& time_of) const {
  std::vector<Time> d(static_cast<size_t>(index_.size()));
  for (int v = 0; v < shape_.virtual_stages(); ++v) {
    const auto seconds = [&](Phase phase) { return BlocksOf(v, phase, solved).total; };
    const Seconds b = seconds(Phase::kBackward), w = seconds(Phase::kWeight);
    d[index_.Whole(v, Phase::kForward)] = Time::From(seconds(Phase::kForward));
    d[index_.Whole(v, Phase::kBackward)] = Time::From(b);
    d[index_.Whole(v, Phase::kWeight)] = Time::From(w);
    d[index_.Whole(v, Phase::kFullBackward)] = Time::From(b + w);
    if (pipeline_->pairs)
      d[index_.Whole(v, Phase::kForwardBackward)] = Time::From(seconds(Phase::kForwardBackward));
  }
  for (int k = 0; k < kBlockKinds; ++k) {
    const BlockKind kind = static_cast<BlockKind>(k);
    const auto& [forward, backward, weight] = solved.kinds[k];
    d[index_.Part(kind, Phase::kForward)] = Time::From(forward.total);
    d[index_.Part(kind, Phase::kBackward)] = Time::From(backward.total);
    d[index_.Part(kind, Phase::kWeight)] = Time::From(weight.total);
    d[index_.Part(kind, Phase::kFullBackward)] = Time::From(backward.total + weight.total);
    d[index_.GradReduce(kind)] = Time::From(Total(kinds_[k].grad_reduce, time_of, 2 * k));
    d[index_.ParamGather(kind)] = Time::From(Total(kinds_[k].param_gather, time_of, 2 * k + 1));
  }
  for (int s = 0; s < shape_.stages; ++s) {
    d[index_.GradNorm(s)] = Time::From(Total(grad_norm_[s], time_of, 100));
    d[index_.Optimizer(s)] = Time::From(OptimizerTime(s, time_of));
  }
  return d;
}

StepSpan PreparedStep::SpanOf(const Timing& timing) const {
  const bool barrier = run_.plan.optimizer.grad_clip == GradClip::kBarrier;
  StepSpan longest;
  for (int s = 0; s < shape_.stages; ++s) {
    const int32_t last = order_->schedule.lane_begin[s + 1] - 1, communication = shape_.stages + s;
    Time begin{};
    // Without a barrier a stage starts its next step when it is done with this one: its span, from the gather
    // of the weights that its first forward needs. With one all stages start together.
    if (!barrier) {
      Time gather{};
      for (int32_t i = order_->schedule.lane_begin[communication];
           i < order_->schedule.lane_begin[communication + 1]; ++i) {
        if (order_->schedule.tasks[i].phase != Phase::kParamGather) break;
        gather += timing.end[i] - timing.start[i];
        if (run_.plan.overlap.param_gather) break;
      }
      begin = timing.start[order_->schedule.lane_begin[s]] - gather;
    }
    if (timing.end[last] - begin > longest.end - longest.begin) longest = {begin, timing.end[last], last};
  }
  return longest;
}

Seconds PreparedStep::Period(const Timing& timing) const {
  const StepSpan span = SpanOf(timing);
  return (span.end - span.begin).seconds();
}

Seconds PreparedStep::StepTime() const {
  // A run on a network has found the stretch, and its times have it.
  return Period(timing_) * (flows_ > 0 ? 1 : stretch_);
}

Seconds PreparedStep::UncontendedStepTime() const {
  return StepTime() / stretch_;
}

Seconds PreparedStep::GradNormTime(int stage) const {
  return Total(grad_norm_[stage], Median, 100);
}
Seconds PreparedStep::OptimizerTime(int stage) const {
  return OptimizerTime(stage, Median);
}

Seconds PreparedStep::StepTime(const OpTimes& time_of) const {
  const SolvedBlocks solved = Solve(time_of);
  const Time transfer[] = {Time::From(Total(send_, time_of, 102))};
  Timing timing;
  order_->retimer.Run(Durations(solved, time_of), transfer, timing, LongerByTask(solved));
  return Period(timing) * stretch_;
}

Seconds PreparedStep::StepTime(const Noise& noise) const {
  const Seconds time = StepTime(
      [&noise](const Cost& cost, uint64_t position) { return cost.time * NoiseOf(cost, noise, position); });
  return time * std::exp(noise.whole_step * run_.whole_step.sigma);
}

Seconds PreparedStep::StepTime(const WholeStep& whole_step) const {
  MOECAST_CHECK(run_.whole_step == kKernelsAlone);
  const size_t kernels = run_.calibration->sources().size();
  return StepTime([&](const Cost& cost, uint64_t) {
    return (cost.source < kernels ? Sustained(cost, whole_step) : SustainedCollective(cost, whole_step)).time;
  });
}

Seconds PreparedStep::StepTime(const Speedup& speedup) const {
  const size_t nvlink = sources_.size() - 2, network = sources_.size() - 1;
  return StepTime([&](const Cost& cost, uint64_t) {
    if (cost.source == nvlink) return cost.time / speedup.nvlink;
    if (cost.source == network) return cost.time / speedup.network;
    const double faster = cost.bound == Bound::kCompute  ? speedup.compute
                          : cost.bound == Bound::kMemory ? speedup.hbm
                                                         : 1;
    return (cost.time - cost.gap) / faster + cost.gap;
  });
}

}  // namespace moecast
