#include "costmodel/kept_tensor.h"

namespace moecast {

BlockMemory SumOf(const std::vector<KeptTensor>& tensors) {
  BlockMemory sum;
  for (const KeptTensor& t : tensors) {
    switch (t.lifetime) {
      case Lifetime::kUntilBackward:
        sum.until_backward += t.bytes;
        break;
      case Lifetime::kUntilWeight:
        sum.until_weight += t.bytes;
        break;
      case Lifetime::kForWeight:
        sum.gradients += t.bytes;
        break;
      case Lifetime::kWithinPass:
        sum.transient += t.bytes;
        break;
    }
  }
  return sum;
}

}  // namespace moecast
