// Serving runs as JSON with the keys of docs/cli.md, and as text for people.
#pragma once

#include <string>

#include "base/json_value.h"
#include "sim/serving/find.h"
#include "sim/serving/iteration_costs.h"
#include "sim/serving/serving_report.h"

namespace moecast {

Json ServeJson(const ServingReport& report);
std::string ServeText(const ServingReport& report);

// What --find tried.
Json SearchJson(const ServingSearch& search);
std::string SearchText(const ServingSearch& search);

// The parts of an iteration that --print can show.
enum class IterationPart : uint8_t { kOps, kCosts, kBlocks };
template <>
struct EnumNames<IterationPart> {
  static constexpr EnumName<IterationPart> kNames[] = {{IterationPart::kOps, "ops"},
                                                       {IterationPart::kCosts, "costs"},
                                                       {IterationPart::kBlocks, "blocks"}};
};
Json IterationJson(const IterationCosts& costs, const IterationWork& work, IterationPart part);
std::string IterationText(const IterationCosts& costs, const IterationWork& work,
                          IterationPart part);

// A row for each request of the load.
std::string RequestsCsv(const ServingRun& run, const ServingOutcome& outcome);

}  // namespace moecast
