#include "traces/prompt_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace moecast {
namespace {

TEST(PromptBlocksTest, AHashStandsForAllTokensUpToItsEnd) {
  const auto hashes = [](std::vector<std::pair<uint64_t, int64_t>> texts) {
    PromptBlocks prompt(10);
    for (const auto& [text, tokens] : texts) prompt.Append(text, tokens);
    std::vector<uint64_t> out;
    prompt.AppendTo(out);
    return out;
  };
  const auto shared = [&](const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
    size_t n = 0;
    while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
    return n;
  };
  EXPECT_EQ(hashes({{1, 25}}).size(), 3u);
  EXPECT_EQ(hashes({{1, 30}}).size(), 3u);
  EXPECT_EQ(hashes({}).size(), 0u);
  EXPECT_EQ(shared(hashes({{1, 25}, {2, 9}}), hashes({{1, 25}, {3, 9}})), 2u);
  EXPECT_EQ(shared(hashes({{1, 30}, {2, 9}}), hashes({{1, 40}})), 3u);
  EXPECT_EQ(shared(hashes({{1, 25}}), hashes({{1, 28}})), 2u);  // the last is not the same
  EXPECT_EQ(shared(hashes({{1, 30}}), hashes({{2, 30}})), 0u);
  // A text goes on where it was, not from its start.
  EXPECT_EQ(shared(hashes({{1, 20}}), hashes({{1, 10}, {1, 10}})), 1u);
}

}  // namespace
}  // namespace moecast
