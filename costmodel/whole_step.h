// What single-kernel measurements leave out of a training step that runs for weeks: the rate at which power
// caps kernels that would run near peak, and host gaps with the small kernels around each operator. Two
// scalars, fitted on dense runs that no prediction is compared with (`moecast calibrate fit`) and applied to
// every plan alike. What was tried: docs/accuracy.md.
#pragma once

#include "base/fields_fwd.h"
#include "base/known.h"
#include "base/units.h"
#include "costmodel/cost.h"

namespace moecast {

inline constexpr const char* kWholeStepSource =
    "moecast calibrate fit: Megatron-LM's five GPT runs on H100 (its README), docs/accuracy.md";
inline constexpr Known kSustained{0.580, kWholeStepSource};
inline constexpr Known kGapMicroseconds{28.3, kWholeStepSource};
inline constexpr Known kWholeStepSigma{0.097, kWholeStepSource};

struct WholeStep {
  double sustained =
      kSustained.value;  // utilisation (Cost::utilisation) above which power throttles a kernel
  Seconds gap = Microseconds(kGapMicroseconds.value);  // on the compute stream, around each operator
  double era = 1;  // time of everything: software of another year than the measured kernels'
  // Standard deviation of ln(step time) around what these give: of runs that the fit had left out.
  double sigma = kWholeStepSigma.value;

  bool operator==(const WholeStep&) const = default;
};
const Fields<WholeStep>& FieldsOf(const WholeStep*);

inline constexpr WholeStep kKernelsAlone{.sustained = 1, .gap = Seconds(0), .era = 1, .sigma = 0};

// A kernel's cost in a long run, and a collective's.
Cost Sustained(Cost kernel, const WholeStep& whole_step);
Cost SustainedCollective(Cost collective, const WholeStep& whole_step);

}  // namespace moecast
