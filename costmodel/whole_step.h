// What single-kernel measurements leave out of a training step that runs for weeks: the rate at
// which power caps kernels that would run near peak, and host gaps with the small kernels around
// each operator. Two scalars, fitted on dense runs that no prediction is compared with (`moecast
// calibrate fit`), kept in the calibration whose kernels they were fitted with and applied to every
// plan alike. What was tried: docs/accuracy.md.
#pragma once

#include <optional>
#include <tuple>

#include "base/fields_fwd.h"
#include "base/units.h"
#include "costmodel/cost.h"

namespace moecast {

struct WholeStep {
  double sustained = 1;  // utilisation (Cost::utilisation) above which power throttles a kernel
  Seconds gap;           // on the compute stream, around each operator
  double era = 1;        // time of everything: software of another year than the measured kernels'
  double sigma = 0;      // standard deviation of ln(step time) around what these give

  bool operator==(const WholeStep&) const = default;
};

inline auto MembersOf(const WholeStep& whole_step) {
  const auto& [sustained, gap, era, sigma] = whole_step;
  return std::tie(sustained, gap, era, sigma);
}

inline constexpr WholeStep kKernelsAlone{};

// What a scenario says of it: a scalar that is absent is the calibration's.
struct WholeStepSpec {
  std::optional<double> sustained;
  std::optional<Seconds> gap;
  double era = 1;
  std::optional<double> sigma;
};
const Fields<WholeStepSpec>& FieldsOf(const WholeStepSpec*);

WholeStep WholeStepOf(const WholeStepSpec& spec, const WholeStep& of_calibration);

// A kernel's cost in a long run, and a collective's.
Cost Sustained(Cost kernel, const WholeStep& whole_step);
Cost SustainedCollective(Cost collective, const WholeStep& whole_step);

}  // namespace moecast
