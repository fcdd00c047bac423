// Timelines as files that Perfetto (ui.perfetto.dev) and chrome://tracing open: the JSON of the
// "Trace Event Format" document of the Chromium project. How a person reads one: docs/timeline.md.
//
// Slices are written as pairs of B and E events, not as X events with a duration: Perfetto cuts
// times to whole nanoseconds, each ts and dur for itself, so that X events which nest in
// picoseconds may overlap by one there and are then dropped
// (slice_drop_overlapping_complete_event). Cut begins and ends keep their order.
//
// Left out of what the format can say: instant, async, object and memory events, step flows, and
// arguments but ours.
#pragma once

#include <string>

#include "traces/timeline.h"

namespace moecast {

// Times are microseconds with 6 decimals: every picosecond is kept. Aborts where spans of a track
// overlap without nesting.
std::string WriteChromeTrace(const Timeline& timeline);

}  // namespace moecast
