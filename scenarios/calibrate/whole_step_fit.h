// The two scalars of WholeStep, fitted on published runs of dense models: what a step takes beyond
// the sum of its kernels. No prediction is compared with these runs but through the leave-one-out
// column. A person writes what it gives into the calibration's `whole_step`.
#pragma once

#include <string>
#include <vector>

#include "costmodel/whole_step.h"
#include "scenarios/claims/claims.h"

namespace moecast {

// A published run and what is predicted of it: model TFLOP/s per GPU, attention's flops not halved.
struct DenseRun {
  Claim claim;
  double kernels = 0;   // from kernels alone
  double fitted = 0;    // with the scalars fitted on all runs
  double left_out = 0;  // with the scalars fitted on all runs but this one
};

struct WholeStepFit {
  WholeStep whole_step;  // sigma: root mean square of ln(left_out / published)
  std::vector<DenseRun> runs;
};

// Least squares of ln(step time), sustained <= 1 and gap >= 0, with the kernels of a calibration's
// folder or the built-in ones (""). Throws UserError: no such folder, a fit that does not settle.
WholeStepFit FitWholeStep(const std::string& calibration = "");

}  // namespace moecast
