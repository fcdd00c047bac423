#include "scenarios/whole_step_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "base/check.h"
#include "scenarios/scenario.h"
#include "sim/forecast/prepared_run.h"

namespace moecast {
namespace {

// By how much the time at peak falls short of the time at the cap, and the gap in milliseconds: times are
// nearly linear in both, neither is below 0.
using Point = std::array<double, 2>;

WholeStep At(const Point& x) {
  return {.sustained = 1 / (1 + x[0]), .gap = Milliseconds(x[1]), .era = 1, .sigma = 0};
}

// A run that can be timed at any point.
class TimedRun {
 public:
  TimedRun(const Claim& claim, StepCache& cache) : claim_(claim) {
    TrainingRun run = Scenario::Load(claim.scenario, {}).training().phases.front();
    run.whole_step = kKernelsAlone;
    const TrainingPhase& phase = run.plan.phases.front();
    flops_per_gpu_ = TrainingFlopsPerTokenNotHalved(run.model, phase.sequence_length) *
                     static_cast<double>(phase.global_batch) * static_cast<double>(phase.sequence_length) /
                     static_cast<double>(run.plan.parallel.gpus());
    prepared_ = std::make_unique<PreparedPhase>(std::move(run), cache);
  }

  double Tflops(const Point& x) const {
    return flops_per_gpu_ / StepTime(prepared_->step(), At(x)).value / 1e12;
  }
  double LogError(const Point& x) const { return std::log(claim_.published / Tflops(x)); }
  const Claim& claim() const { return claim_; }

 private:
  Claim claim_;
  double flops_per_gpu_ = 0;
  std::unique_ptr<PreparedPhase> prepared_;
};

// Gauss-Newton: step times are nearly linear in both. A scalar that would become negative stays at 0 and the
// other is fitted alone.
Point Fit(const std::vector<TimedRun>& runs, size_t left_out) {
  Point x{0.8, 0.01};
  constexpr int kSteps = 12;
  for (int step = 0; step < kSteps; ++step) {
    double a00 = 0, a01 = 0, a11 = 0, b0 = 0, b1 = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      if (i == left_out) continue;
      constexpr double kStep = 1e-3;
      const double e = runs[i].LogError(x);
      const double d0 = (runs[i].LogError({x[0] + kStep, x[1]}) - e) / kStep;
      const double d1 = (runs[i].LogError({x[0], x[1] + kStep}) - e) / kStep;
      a00 += d0 * d0, a01 += d0 * d1, a11 += d1 * d1, b0 -= d0 * e, b1 -= d1 * e;
    }
    const double det = a00 * a11 - a01 * a01;
    Point next{x[0] + (b0 * a11 - b1 * a01) / det, x[1] + (b1 * a00 - b0 * a01) / det};
    if (next[1] < 0) next = {x[0] + (b0 + a01 * x[1]) / a00, 0};
    if (next[0] < 0) next = {0, std::max(0.0, x[1] + (b1 + a01 * x[0]) / a11)};
    x = next;
  }
  return x;
}

}  // namespace

WholeStepFit FitWholeStep() {
  StepCache cache;
  std::vector<TimedRun> runs;
  for (const Claim& claim : LoadClaims("dense")) runs.emplace_back(claim, cache);
  const Point all = Fit(runs, runs.size());
  WholeStepFit fit{.whole_step = At(all), .runs = {}};
  double squares = 0;
  for (size_t i = 0; i < runs.size(); ++i) {
    DenseRun run{.claim = runs[i].claim(),
                 .kernels = runs[i].Tflops({0, 0}),
                 .fitted = runs[i].Tflops(all),
                 .left_out = runs[i].Tflops(Fit(runs, i))};
    const double error = std::log(run.left_out / run.claim.published);
    squares += error * error / static_cast<double>(runs.size());
    fit.runs.push_back(std::move(run));
  }
  fit.whole_step.sigma = std::sqrt(squares);
  return fit;
}

}  // namespace moecast
