#include "costmodel/ops/parts.h"

namespace moecast {

void AddAttention(BlockBuilder& b) {
  b.Norm(OpName::kInputNorm, b.local_tokens * b.model.hidden);
  const AttentionKind& kind = *b.model.attention.kind;
  (b.trains() ? kind.train : b.work.pass == Pass::kPrefill ? kind.prefill : kind.decode)(b);
  b.Residual();
}

}  // namespace moecast
