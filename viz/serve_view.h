// A serving report as text and JSON.
#pragma once

#include <string>

#include "base/json.h"
#include "sim/serving/serving_report.h"

namespace moecast {

Json ServeJson(const ServingReport& report);
std::string ServeText(const ServingReport& report);

// A row for each request: when it came, its lengths, how it ended, its latencies in milliseconds.
std::string RequestsCsv(const ServingRun& run, const ServingOutcome& outcome);

}  // namespace moecast
