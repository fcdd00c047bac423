#include "traces/prompt_blocks.h"

#include <algorithm>

#include "base/random.h"

namespace moecast {

void PromptBlocks::Append(uint64_t text, int64_t tokens) {
  for (int64_t from = 0; from < tokens;) {
    const int64_t taken = std::min(tokens - from, block_tokens_ - begun_);
    Mix(text);
    Mix(static_cast<uint64_t>(from));
    Mix(static_cast<uint64_t>(taken));
    from += taken;
    begun_ += taken;
    if (begun_ == block_tokens_) {
      full_.push_back(now_);
      begun_ = 0;
    }
  }
}

void PromptBlocks::AppendTo(std::vector<uint64_t>& out) const {
  out.insert(out.end(), full_.begin(), full_.end());
  if (begun_ > 0) out.push_back(now_);
}

void PromptBlocks::Mix(uint64_t part) {
  now_ = Random(now_ ^ part).Next();
}

}  // namespace moecast
