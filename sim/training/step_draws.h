// What a prepared step takes under draws of its costs: blocks with other times, the same order. The
// draws of a step are timed together, and what they have in common is found once: where the errors
// of each op are drawn from, and the sweep over the schedule.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/random.h"
#include "sim/training/step.h"

namespace moecast {

// One draw of what is not known of costs: standard normal deviates of the logarithm of the times.
struct Noise {
  BySource<double> by_source;
  double whole_step = 0;  // of WholeStep::sigma
  // Where the errors common to a curve (Cost::curve) and each estimate's own are drawn from, as
  // point number `draw` of it; null: there are none. REQUIRES: it outlives this.
  const Lattice* curves = nullptr;
  const Lattice* own = nullptr;
  int draw = 0;
};

// As StepTime with each op's median times exp of its deviates, all of it times exp of whole_step's;
// by draw. REQUIRES: all draws have the same lattices.
std::vector<Seconds> StepTimes(const Step& step, std::span<const Noise> draws);

}  // namespace moecast
