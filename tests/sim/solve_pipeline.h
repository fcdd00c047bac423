// A pipeline schedule built and timed, as tests of schedules need it.
#pragma once

#include <gtest/gtest.h>

#include "sim/pipeline/pipeline.h"

namespace moecast {

inline const PipelineSchedule& Named(std::string_view name) {
  const PipelineSchedule* row = FindPipelineSchedule(name);
  EXPECT_NE(row, nullptr) << name;
  return *row;
}

// Equal stages; the times are of a whole stage in picoseconds, divided among the chunks.
inline PipelineShape Uniform(int stages, int micro_batches, int64_t f, int64_t b, int64_t w,
                             int chunks = 1, int64_t comm = 0, int copies = 1) {
  PipelineShape shape{.stages = stages,
                      .micro_batches = micro_batches,
                      .chunks = chunks,
                      .copies = copies,
                      .transfer = Time{comm}};
  shape.forward.assign(shape.virtual_stages(), Time{f / chunks});
  shape.backward.assign(shape.virtual_stages(), Time{b / chunks});
  shape.weight.assign(shape.virtual_stages(), Time{w / chunks});
  return shape;
}

struct Solved {
  TrainingSchedule schedule;
  Timing timing;
  PipelineResult result;
};

inline Solved Solve(std::string_view name, const PipelineShape& shape) {
  const PipelineSchedule& row = Named(name);
  EXPECT_EQ(RejectPipeline(row, shape), "");
  Solved s;
  s.schedule = LowerPipeline(row, shape, row.build(shape));
  Retimer(s.schedule).Run(PipelineDurations(row, shape), std::span(&shape.transfer, 1), s.timing);
  s.result = Summarize(shape, s.schedule, s.timing);
  return s;
}

}  // namespace moecast
