// ZB-H1 (arXiv 2401.10241 section 2.2): the order of 1F1B with the backward pass split into input
// gradients (B), on which the stage before waits, and weight gradients (W), on which nobody waits.
// Stage s runs W as many backwards late as its index: W of micro-batch i comes after B of
// micro-batch i + s. Stage s then holds p - s micro-batches from F to B and s from B to W: p on
// every stage, as many as 1F1B holds on stage 0.
//
// A micro-batch may take more memory from B to W than from F to B (an MLA layer with its
// up-projections recomputed keeps their large output gradients). A limit on the delay trades that
// memory for bubble: stage s then runs W min(s, limit) backwards late.
#include "sim/pipeline/orders.h"

namespace moecast {

PipelineOrder ZbH1(const PipelineShape& shape) {
  PipelineOrder order = WarmUpThenAlternate(shape, 1);
  SplitWeights(shape, 1, order);
  return order;
}

}  // namespace moecast
