// Timelines as files that Perfetto (ui.perfetto.dev) and chrome://tracing open: the JSON of the "Trace Event
// Format" document of the Chromium project. How a person reads one: docs/timeline.md.
//
// Slices are written as pairs of B and E events, not as X events with a duration: Perfetto cuts times to
// whole nanoseconds, each ts and dur for itself, so that X events which nest in picoseconds may overlap by
// one there and are then dropped (slice_drop_overlapping_complete_event). Cut begins and ends keep their
// order.
//
// Left out of what the format can say: instant, async, object and memory events, step flows, and arguments
// but ours.
#pragma once

#include <string>
#include <string_view>

#include "traces/timeline.h"

namespace moecast {

// Times are microseconds with 6 decimals: every picosecond is kept. Aborts where spans of a track overlap
// without nesting.
std::string WriteChromeTrace(const Timeline& timeline);

// An object with "traceEvents" or a bare list of events; slices as B and E pairs or X events. Writing what
// was read from a written file gives the same text where its times are below 2.5 hours (JSON numbers are
// doubles). Tasks, stands_for and the kind are in files written here; others are read as measured and
// without. Left out: flows with one end, or with one that stands in no B and E pair. Throws UserError naming
// `file` and the event: no JSON or larger than ParseJson takes, a wrong type, an E without B or a B without
// E, slices of a thread that overlap without nesting (by up to 1 ns they are cut).
Timeline ReadChromeTrace(std::string_view text, const std::string& file);

}  // namespace moecast
