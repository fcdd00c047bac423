// The blocks of one rank's KV cache: who may take them, and the beginnings of prompts that stay in
// them after their requests have ended, for others that begin alike (prefix caching; vLLM's and
// SGLang's automatic one).
//
// A trace tells which prompts begin alike by runs of tokens, each with the hash of all up to its
// end. A run that was computed is kept under that hash: it is in use while sequences hold it, then
// idle, and idle runs are dropped where blocks are needed, those least recently used first and of a
// prompt's the last first. Two that compute the same run at once end with one copy of it.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>

namespace moecast {

class KvCache {
 public:
  // `blocks` of `block_size` tokens; runs of `run_tokens` tokens, 0 where none are kept. REQUIRES:
  // run_tokens is a multiple of block_size.
  KvCache(int64_t blocks, int64_t block_size, int64_t run_tokens);

  int64_t BlocksFor(int64_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }
  // Free, or of runs that are idle.
  int64_t available() const { return free_ + idle_blocks(); }
  int64_t used() const { return blocks_ - available(); }
  int64_t run_tokens() const { return run_tokens_; }
  int64_t run_blocks() const { return run_blocks_; }

  // Takes free blocks, and those of idle runs where these are not enough. REQUIRES: n is at most
  // available().
  void Take(int64_t n);
  void Give(int64_t n) { free_ += n; }

  // Of the first runs of a prompt those that are kept, and how many of them are idle: to be held
  // they leave so many times run_blocks() fewer available.
  struct Known {
    int64_t runs = 0, idle = 0;
  };
  Known Find(std::span<const uint64_t> hashes) const;
  // REQUIRES: all of them are kept.
  void Hold(std::span<const uint64_t> hashes);
  void Release(std::span<const uint64_t> hashes);
  // A sequence that has computed a run gives its blocks over, and holds the run.
  void Keep(uint64_t hash);

 private:
  struct Run {
    int64_t users = 0;
    std::list<uint64_t>::iterator idle;  // where users is 0
  };
  int64_t idle_blocks() const { return static_cast<int64_t>(idle_.size()) * run_blocks_; }

  int64_t blocks_, block_size_, run_tokens_, run_blocks_, free_;
  std::unordered_map<uint64_t, Run> runs_;  // by hash
  std::list<uint64_t> idle_;                // least recently used first
};

}  // namespace moecast
