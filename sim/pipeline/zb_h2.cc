// ZB-H2 (arXiv 2401.10241 section 2.3): ZB-H1 twice as deep. Stage s of p runs 2 (p - s) - 1
// forwards before its first backward, and W 2 s backwards late: at most 2 p - 1 micro-batches are
// alive, and where F = B = W no stage waits between its first and its last task.
#include "sim/pipeline/orders.h"

namespace moecast {

PipelineOrder ZbH2(const PipelineShape& shape) {
  PipelineOrder order = WarmUpThenAlternate(shape, 2);
  SplitWeights(shape, 2, order);
  return order;
}

}  // namespace moecast
