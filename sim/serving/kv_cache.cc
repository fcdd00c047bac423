#include "sim/serving/kv_cache.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

KvCache::KvCache(int64_t blocks, int64_t block_size, int64_t run_tokens,
                 std::span<const int64_t> tiers)
    : blocks_(blocks),
      block_size_(block_size),
      run_tokens_(run_tokens),
      run_blocks_(run_tokens / block_size),
      free_(blocks) {
  MOECAST_CHECK(blocks > 0 && block_size > 0 && run_tokens % block_size == 0);
  for (const int64_t runs : tiers) tiers_.push_back({.most = runs, .runs = {}, .at = {}});
  loaded_.resize(tiers_.size());
}

void KvCache::Demote(uint64_t hash, size_t tier) {
  for (; tier < tiers_.size(); ++tier) {
    Tier& t = tiers_[tier];
    if (const auto known = t.at.find(hash); known != t.at.end()) {
      t.runs.splice(t.runs.end(), t.runs, known->second);
      return;
    }
    t.at.emplace(hash, t.runs.insert(t.runs.end(), hash));
    if (static_cast<int64_t>(t.runs.size()) <= t.most) return;
    hash = t.runs.front();
    t.at.erase(hash);
    t.runs.pop_front();
  }
}

size_t KvCache::TierOf(uint64_t hash) const {
  size_t tier = 0;
  while (tier < tiers_.size() && !tiers_[tier].at.contains(hash)) ++tier;
  return tier;
}

void KvCache::Take(int64_t n) {
  MOECAST_CHECK(n <= available());
  for (; free_ < n; free_ += run_blocks_) {
    Demote(idle_.front(), 0);
    runs_.erase(idle_.front());
    idle_.pop_front();
  }
  free_ -= n;
}

KvCache::Known KvCache::Find(std::span<const uint64_t> hashes) const {
  Known known;
  for (const uint64_t hash : hashes) {
    const auto run = runs_.find(hash);
    if (run == runs_.end() && TierOf(hash) == tiers_.size()) break;
    ++known.runs;
    known.taking += run == runs_.end() || run->second.users == 0;
  }
  return known;
}

std::span<const int64_t> KvCache::Hold(std::span<const uint64_t> hashes) {
  std::fill(loaded_.begin(), loaded_.end(), 0);
  int64_t loads = 0;
  for (const uint64_t hash : hashes) {
    const auto [run, fresh] = runs_.try_emplace(hash);
    if (fresh) {
      const size_t tier = TierOf(hash);
      MOECAST_CHECK(tier < tiers_.size());
      ++loaded_[tier];
      ++loads;
      Demote(hash, tier);
    } else if (run->second.users == 0) {
      idle_.erase(run->second.idle);
    }
    ++run->second.users;
  }
  // Once all are held, so that none is dropped for another.
  Take(loads * run_blocks_);
  return loaded_;
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
