#include "sim/serving/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

KvCache::KvCache(int64_t blocks, int64_t block_size, int64_t run_tokens)
    : blocks_(blocks),
      block_size_(block_size),
      run_tokens_(run_tokens),
      run_blocks_(run_tokens / block_size),
      free_(blocks) {
  MOECAST_CHECK(blocks > 0 && block_size > 0 && run_tokens % block_size == 0);
}

void KvCache::Take(int64_t n) {
  MOECAST_CHECK(n <= available());
  for (; free_ < n; free_ += run_blocks_) {
    runs_.erase(idle_.front());
    idle_.pop_front();
  }
  free_ -= n;
}

KvCache::Known KvCache::Find(std::span<const uint64_t> hashes) const {
  Known known;
  for (const uint64_t hash : hashes) {
    const auto run = runs_.find(hash);
    if (run == runs_.end()) break;
    ++known.runs;
    known.idle += run->second.users == 0;
  }
  return known;
}

void KvCache::Hold(std::span<const uint64_t> hashes) {
  for (const uint64_t hash : hashes) {
    Run& run = runs_.at(hash);
    if (run.users++ == 0) idle_.erase(run.idle);
  }
}

void KvCache::Release(std::span<const uint64_t> hashes) {
  for (auto hash = hashes.rbegin(); hash != hashes.rend(); ++hash) {
    Run& run = runs_.at(*hash);
    if (--run.users == 0) run.idle = idle_.insert(idle_.end(), *hash);
  }
}

void KvCache::Keep(uint64_t hash) {
  const auto [run, fresh] = runs_.try_emplace(hash);
  if (!fresh) {
    if (run->second.users == 0) idle_.erase(run->second.idle);
    free_ += run_blocks_;
  }
  ++run->second.users;
}

}  // namespace moecast
