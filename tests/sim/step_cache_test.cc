#include "sim/training/step_cache.h"

#include <gtest/gtest.h>

#include "tests/sim/solve_pipeline.h"

namespace moecast {
namespace {

std::shared_ptr<const OrderedStep> OrderOf(StepCache& cache, std::string_view name,
                                           const PipelineShape& shape) {
  const std::vector<StageBlocks> pieces(static_cast<size_t>(shape.pieces()));
  return cache.OrderFor(shape, LayoutOf(PieceMap(Named(name), shape), pieces), {},
                        {.pipeline = &Named(name),
                         .stages = shape.stages,
                         .micro_batches = shape.micro_batches,
                         .chunks = shape.chunks,
                         .weight_delay = shape.weight_delay,
                         .blocks = std::vector<StageBlocks>(shape.virtual_stages())});
}

TEST(StepCacheTest, TimesDecideAboutAnOrderOnlyWhereTheScheduleLooksAtThem) {
  const PipelineShape even = Uniform(4, 12, 2, 2, 2), uneven = Uniform(4, 12, 3, 2, 1);
  StepCache cache;
  EXPECT_EQ(OrderOf(cache, "zb-h1", even), OrderOf(cache, "zb-h1", uneven));
  EXPECT_EQ(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", even));
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", uneven));
  PipelineShape slow_links = even;
  slow_links.transfer = Time{5};
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", slow_links));
  PipelineShape less_memory = even;
  less_memory.memory_limit = 5;
  EXPECT_NE(OrderOf(cache, "zb-2p", even), OrderOf(cache, "zb-2p", less_memory));
}

}  // namespace
}  // namespace moecast
