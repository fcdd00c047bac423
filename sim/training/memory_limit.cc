// The memory that schedules built within a limit keep to, stage by stage.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/quantity_text.h"
#include "sim/training/step.h"

namespace moecast {

// Bytes become micro-batches of each stage: what states, buffers and the runtime leave, over what a
// micro-batch keeps from its forward pass on.
void PreparedStep::LimitMemory() {
  const std::optional<MemoryLimit>& limit = run_.plan.memory_limit;
  const bool by_number = limit && limit->micro_batches > 0;
  const Bytes most = limit && !by_number ? limit->bytes : run_.cluster.device.memory;
  const auto refuse = [&](const std::string& value, const std::string& expected) {
    throw UserError(
        {.file = run_.name, .pointer = "/training/memory_limit", .value = value, .expected = expected});
  };
  bool one_fits = true;
  for (int s = 0; s < shape_.stages; ++s) {
    Bytes kept, for_weight;
    for (int c = 0; c < shape_.held(); ++c) {
      for (const BlockRun& run : blocks_of_[pipeline_->virtual_stage(shape_, s, c)]) {
        const BlockMemory& m = kinds_[static_cast<size_t>(run.kind)].ops.memory;
        kept += m.kept() * run.count;
        for_weight += (m.until_weight + m.gradients) * run.count;
      }
    }
    const double ratio = for_weight / kept, one = std::max(1.0, ratio);
    const Bytes fixed = MemoryWithoutActivations(s).total();
    shape_.stage_kept_for_weight.push_back(ratio);
    if (by_number) {
      if (limit->micro_batches < one)
        refuse(ShowNumber(limit->micro_batches), "at least " + ShowNumber(std::ceil(one * 1000) / 1000, 6) +
                                                     " micro-batches, which one holds alive on stage " +
                                                     std::to_string(s));
      continue;
    }
    // What does not fit on the device is an answer; what cannot keep to the plan's own limit is refused.
    if (limit && fixed + kept * one > most)
      refuse("\"" + PrintBytes(limit->bytes) + "\"",
             "at least " + PrintBytes(Bytes(std::ceil((fixed + kept * one) / MiB(1)) * MiB(1).value)) +
                 ", which stage " + std::to_string(s) + " takes with one micro-batch");
    shape_.stage_limit.push_back((most - fixed) / kept);
    one_fits = one_fits && shape_.stage_limit.back() >= one;
  }
  // No order fits then; the schedule's own limit says by how much it does not.
  if (!one_fits) shape_.stage_limit.clear();
  if (by_number) shape_.memory_limit = limit->micro_batches;
  // A limit in bytes takes the place of the schedule's own: no more than all micro-batches are alive.
  if (limit && !by_number)
    shape_.memory_limit =
        shape_.micro_batches * std::max(1.0, *std::max_element(shape_.stage_kept_for_weight.begin(),
                                                               shape_.stage_kept_for_weight.end()));
}

}  // namespace moecast
