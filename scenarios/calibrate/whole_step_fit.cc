#include "scenarios/calibrate/whole_step_fit.h"

#include <cmath>
#include <memory>

#include "base/check.h"
#include "base/error.h"
#include "base/quantity_text.h"
#include "scenarios/calibrate/least_squares.h"
#include "scenarios/scenario.h"
#include "sim/forecast/prepared_run.h"

namespace moecast {
namespace {

// x[0]: by how much the time at peak falls short of the time at the cap; x[1]: the gap in
// milliseconds. Times are nearly linear in both, neither is below 0.
WholeStep At(const Point& x) {
  return {.sustained = 1 / (1 + x[0]), .gap = Milliseconds(x[1]), .era = 1, .sigma = 0};
}

// A run that can be timed at any point.
class TimedRun {
 public:
  TimedRun(const Claim& claim, const std::string& calibration, StepCache& cache) : claim_(claim) {
    const std::vector<std::string> sets = {"calibration=" + calibration};
    TrainingRun run = Scenario::Load(claim.scenario, sets).training().phases.front();
    run.whole_step = kKernelsAlone;
    const TrainingPhase& phase = run.plan.phases.front();
    flops_per_gpu_ = TrainingFlopsPerTokenNotHalved(run.model, phase.sequence_length) *
                     static_cast<double>(phase.global_batch) *
                     static_cast<double>(phase.sequence_length) /
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

// Fitted to all runs but one. A step time is nearly linear in both scalars.
Point Fit(const std::vector<TimedRun>& runs, size_t left_out) {
  std::vector<std::function<double(const Point&)>> errors;
  for (size_t i = 0; i < runs.size(); ++i)
    if (i != left_out)
      errors.push_back([&run = runs[i]](const Point& x) { return run.LogError(x); });
  const LeastSquares fit = LeastSquaresOf(errors, {0.8, 0.01});
  if (!fit.converged)
    throw UserError(
        {.file = "calibrate fit",
         .value = "scalars that still move by " + ShowNumber(fit.last_move) + " after " +
                  std::to_string(fit.steps) + " steps",
         .expected = "dense runs that tell the cap of power from the gap around operators"});
  return fit.at;
}

}  // namespace

WholeStepFit FitWholeStep(const std::string& calibration) {
  StepCache cache;
  std::vector<TimedRun> runs;
  for (const Claim& claim : LoadClaims("dense")) runs.emplace_back(claim, calibration, cache);
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
