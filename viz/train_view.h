// A TrainReport as text and JSON, and what --print shows of a prepared step.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "sim/forecast/train_report.h"
#include "sim/pipeline/schedule_text.h"

namespace moecast {

// A published figure of the same quantity as gpu_hours_per_trillion_tokens.
struct PublishedCost {
  double gpu_hours_per_trillion_tokens = 0;
  std::string source;
};

Json TrainJson(const TrainReport& report, const std::optional<PublishedCost>& published);
std::string TrainText(const TrainReport& report, const std::optional<PublishedCost>& published);

// The parts of a step that --print can show.
enum class StepPart : uint8_t { kLayout, kOps, kCosts, kBlocks, kSchedule };
template <>
struct EnumNames<StepPart> {
  static constexpr EnumName<StepPart> kNames[] = {{StepPart::kLayout, "layout"},
                                                  {StepPart::kOps, "ops"},
                                                  {StepPart::kCosts, "costs"},
                                                  {StepPart::kBlocks, "blocks"},
                                                  {StepPart::kSchedule, "schedule"}};
};
Json StepPartJson(const Step& step, StepPart part);
std::string StepPartText(const Step& step, StepPart part);

// The step's order with what each block takes at the median costs, every collective alone on idle
// links.
WrittenSchedule WrittenScheduleOf(const Step& step);

}  // namespace moecast
