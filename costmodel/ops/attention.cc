#include "costmodel/ops/parts.h"

namespace moecast {

void AddAttention(BlockBuilder& b) {
  b.Norm(OpName::kInputNorm, b.local_tokens * b.model.hidden);
  b.model.attention.kind->train(b);
  b.Residual();
}

}  // namespace moecast
