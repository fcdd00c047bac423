// The hashes of a prompt's blocks, as prefix caches make them: a block's hash stands for all tokens
// up to its end. A prompt is a sequence of texts, each with an identity of its own; texts of equal
// identities are alike as far as both reach.
#pragma once

#include <cstdint>
#include <vector>

namespace moecast {

class PromptBlocks {
 public:
  // REQUIRES: block_tokens > 0.
  explicit PromptBlocks(int64_t block_tokens) : block_tokens_(block_tokens) {}

  // The first `tokens` tokens of a text. REQUIRES: tokens >= 0.
  void Append(uint64_t text, int64_t tokens);

  // Adds the hashes of the prompt as it is, the last one of a block that may not be full.
  void AppendTo(std::vector<uint64_t>& out) const;

 private:
  void Mix(uint64_t part);

  int64_t block_tokens_;
  std::vector<uint64_t> full_;
  uint64_t now_ = 0;   // of all so far
  int64_t begun_ = 0;  // tokens of the block that is not full
};

}  // namespace moecast
