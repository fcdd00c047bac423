// The blocks of one rank's KV cache: who may take them, and the beginnings of prompts that stay in
// them after their requests have ended, for others that begin alike (prefix caching; vLLM's and
// SGLang's automatic one).
//
// A trace tells which prompts begin alike by runs of tokens, each with the hash of all up to its
// end. A run that was computed is kept under that hash: it is in use while sequences hold it, then
// idle, and idle runs are dropped where blocks are needed, those least recently used first and of a
// prompt's the last first. Two that compute the same run at once end with one copy of it.
//
// What is dropped goes to tiers below, host memory and disks, each of a number of runs, from where
// a prompt that begins with it loads it back (SGLang's HiCache, LMCache, vLLM's KV offloading). A
// tier that is full passes on what was used least recently; behind the last it is forgotten. What
// is loaded stays where it was, as used last, and is not written there again.
#pragma once

#include <cstdint>
#include <list>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

namespace moecast {

class KvCache {
 public:
  // `blocks` of `block_size` tokens; runs of `run_tokens` tokens, 0 where none are kept; tiers
  // below of so many runs each. REQUIRES: run_tokens is a multiple of block_size.
  KvCache(int64_t blocks, int64_t block_size, int64_t run_tokens,
          std::span<const int64_t> tiers = {});

  int64_t BlocksFor(int64_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }
  // Sequences that hold blocks, in the order they were admitted by whoever shares the cache: the
  // last of all gives way.
  int64_t Enter() { return *in_.insert(in_.end(), entered_++); }
  void Leave(int64_t order) { in_.erase(order); }
  bool IsLast(int64_t order) const { return !in_.empty() && *in_.rbegin() == order; }
  // How many of these schedulers find no blocks to go on with. While there are any the others admit
  // nothing, so that what gives way is theirs.
  int starving() const { return starving_; }
  void Starve(int more) { starving_ += more; }

  // Free, or of runs that are idle.
  int64_t available() const { return free_ + idle_blocks(); }
  int64_t used() const { return blocks_ - available(); }
  int64_t run_tokens() const { return run_tokens_; }
  int64_t run_blocks() const { return run_blocks_; }

  // Takes free blocks, and those of idle runs where these are not enough. REQUIRES: n is at most
  // available().
  void Take(int64_t n);
  void Give(int64_t n) { free_ += n; }
  // Blocks that running sequences will hold at their ends, where these are kept for them.
  int64_t promised() const { return promised_; }
  void Promise(int64_t n) { promised_ += n; }

  // Of the first runs of a prompt those that are kept, here or below, and how many of them are idle
  // or below: to be held they leave so many times run_blocks() fewer available.
  struct Known {
    int64_t runs = 0, taking = 0;
  };
  Known Find(std::span<const uint64_t> hashes) const;
  // Those that are below are loaded: of each tier so many runs. REQUIRES: all of them are kept, and
  // what they take is available. Valid until the next.
  std::span<const int64_t> Hold(std::span<const uint64_t> hashes);
  void Release(std::span<const uint64_t> hashes);
  // A sequence that has computed a run gives its blocks over, and holds the run.
  void Keep(uint64_t hash);

 private:
  struct Run {
    int64_t users = 0;
    std::list<uint64_t>::iterator idle;  // where users is 0
  };
  struct Tier {
    int64_t most = 0;          // runs
    std::list<uint64_t> runs;  // least recently used first
    std::unordered_map<uint64_t, std::list<uint64_t>::iterator> at;
  };
  // Puts a run last into a tier, and what it leaves no room for into the next.
  void Demote(uint64_t hash, size_t tier);
  // The first tier that has the run; tiers_.size() where none does.
  size_t TierOf(uint64_t hash) const;
  int64_t idle_blocks() const { return static_cast<int64_t>(idle_.size()) * run_blocks_; }

  int64_t blocks_, block_size_, run_tokens_, run_blocks_, free_, promised_ = 0;
  std::unordered_map<uint64_t, Run> runs_;  // by hash
  std::list<uint64_t> idle_;                // least recently used first
  std::vector<Tier> tiers_;
  std::vector<int64_t> loaded_;  // by the last Hold
  std::set<int64_t> in_;
  int64_t entered_ = 0;
  int starving_ = 0;
};

}  // namespace moecast
