#include "costmodel/ops/parts.h"

namespace moecast {

void AddAttention(BlockBuilder& b) {
  b.Norm(OpName::kInputNorm, b.local_tokens * b.model.hidden);
  const AttentionKind& kind = *b.model.attention.kind;
  if (b.trains()) {
    kind.train(b);
  } else {
    kind.project(b);
    for (const Work& part : b.parts) kind.attend(b, part);
    kind.output(b);
  }
  b.Residual();
}

}  // namespace moecast
