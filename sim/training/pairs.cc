// The blocks of a schedule that overlaps a forward with a backward: all of a virtual stage's forward beside
// all of the other's backward, one block of two streams. Layer then runs beside layer as DualPipe has it
// (arXiv 2412.19437 figure 4): the attention of one half and the experts of the other compute while tokens of
// the former are dispatched and gradients of the latter return, and what has no partner runs alone.
#include <algorithm>

#include "base/check.h"
#include "sim/training/step.h"

namespace moecast {

int PreparedStep::OtherOfPair(int virtual_stage) const {
  for (int s = 0; s < shape_.stages; ++s)
    for (const int chunk : {0, 1})
      if (pipeline_->virtual_stage(shape_, s, chunk) == virtual_stage)
        return pipeline_->virtual_stage(shape_, s, 1 - chunk);
  MOECAST_CHECK(false);
}

void PreparedStep::PairVirtualStages() {
  MOECAST_CHECK(shape_.held() == 2);
  for (int v = 0; v < shape_.virtual_stages(); ++v) {
    std::vector<BlockPart> parts;
    for (const BlockKind kind : KindsIn(blocks_of_[v])) parts.push_back({kind, Pass::kForward});
    std::vector<BlockKind> backward = KindsIn(blocks_of_[OtherOfPair(v)]);
    std::reverse(backward.begin(), backward.end());
    for (const Pass pass : {Pass::kBackward, Pass::kWeight})
      for (const BlockKind kind : backward) parts.push_back({kind, pass});
    const auto known =
        std::find_if(pairs_.begin(), pairs_.end(), [&](const OverlappedPair& p) { return p.parts == parts; });
    pair_of_.push_back(static_cast<size_t>(known - pairs_.begin()));
    if (known != pairs_.end()) continue;
    std::array<std::vector<const CostedOps*>, kPasses> of_pass;
    for (const BlockPart& part : parts)
      of_pass[static_cast<size_t>(part.pass)].push_back(&Costed(part.kind, part.pass));
    pairs_.push_back({std::move(parts), Overlapped(of_pass[0], of_pass[1], of_pass[2])});
  }
}

}  // namespace moecast
