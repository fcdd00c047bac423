#include "costmodel/whole_step.h"

#include <algorithm>

#include "base/fields.h"

namespace moecast {

const Fields<WholeStepSpec>& FieldsOf(const WholeStepSpec*) {
  using W = WholeStepSpec;
  static const Fields<W> fields(
      "whole_step",
      {
          Row("sustained", &W::sustained,
              "fraction of the device's peak that power lets a kernel keep up; one that does less "
              "in a burst is not slowed; 1 for none; absent: the calibration's",
              {.low = 0.01, .high = 1}),
          Row("gap", &W::gap,
              "host gap and small kernels around each operator of the compute stream; absent: the "
              "calibration's",
              {.low = 0, .high = 1}),
          Row("era", &W::era,
              "time of everything, of what the measured kernels give: software of another year",
              {.low = 0.1, .high = 10}),
          Row("sigma", &W::sigma,
              "how far a whole step lies from this, as the standard deviation of the logarithm; "
              "absent: the calibration's",
              {.low = 0, .high = 1}),
      });
  return fields;
}

WholeStep WholeStepOf(const WholeStepSpec& spec, const WholeStep& of_calibration) {
  return {.sustained = spec.sustained.value_or(of_calibration.sustained),
          .gap = spec.gap.value_or(of_calibration.gap),
          .era = spec.era,
          .sigma = spec.sigma.value_or(of_calibration.sigma)};
}

Cost Sustained(Cost c, const WholeStep& w) {
  c.gap = w.gap * w.era;
  // Below the cap of power a kernel keeps its burst rate.
  c.time = (c.time * std::max(1.0, c.utilisation / w.sustained) + w.gap) * w.era;
  return c;
}

Cost SustainedCollective(Cost c, const WholeStep& w) {
  c.time = c.time * w.era;
  return c;
}

}  // namespace moecast
