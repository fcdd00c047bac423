// How the headline figures of a run are shown: `moecast train` and `diff` print the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/interval.h"
#include "base/json.h"
#include "sim/forecast/train_report.h"

namespace moecast {

struct HeadlineStyle {
  std::string_view name;  // as in kHeadlines
  const char* label;
  std::string (*show)(double);
};
// REQUIRES: a name of kHeadlines.
const HeadlineStyle& StyleOf(std::string_view name);

// Those that say something of this run.
std::vector<HeadlineName> ShownHeadlines(const TrainReport& report);

Json IntervalJson(const Interval& interval);
// The key `intervals` of a report: its headlines, and the memory of the fullest rank over the
// unknowns.
Json IntervalsJson(const TrainReport& report);

}  // namespace moecast
