// Values by key, made when they are first asked for and kept while there is room: of what does not
// fit the least recently used goes. For values that one function makes from their key alone, so
// that it never shows whether one was kept. Several threads may share a memo.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/mixer.h"

namespace moecast {

// REQUIRES: equal keys have equal hashes, Mixer()(key).
template <class Key, class Value>
class Memo {
 public:
  // What a value takes of the room, in the unit of `room`.
  using Weight = size_t (*)(const Value&);
  // With `room` for so many values.
  explicit Memo(size_t room) : Memo(room, [](const Value&) { return size_t{1}; }) {}
  Memo(size_t room, Weight weight) : room_(room), weight_of_(weight) {}

  // The value of the key, from make() where it is not kept, which returns a Value or a shared
  // pointer to one. The value lives as long as somebody holds it; one larger than the room is kept
  // until the next is made. make() runs unlocked: two threads that ask for a new key at once may
  // both make it, and both get one of the two.
  template <class Make>
  std::shared_ptr<const Value> Get(const Key& key, const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = by_key_.find(&key); known != by_key_.end()) return Used(known->second);
    }
    std::shared_ptr<const Value> value = Owned(make());
    std::list<Entry> dropped;  // destroyed unlocked
    const std::lock_guard lock(mutex_);
    if (const auto known = by_key_.find(&key); known != by_key_.end()) return Used(known->second);
    entries_.push_front({key, value, weight_of_(*value)});
    by_key_.emplace(&entries_.front().key, entries_.begin());
    taken_ += entries_.front().weight;
    while (taken_ > room_ && entries_.size() > 1) {
      taken_ -= entries_.back().weight;
      by_key_.erase(&entries_.back().key);
      dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
    }
    return value;
  }

 private:
  struct Entry {
    Key key;
    std::shared_ptr<const Value> value;
    size_t weight;
  };
  using Place = typename std::list<Entry>::iterator;
  struct Hash {
    size_t operator()(const Key* key) const { return Mixer()(*key); }
  };
  struct Equal {
    bool operator()(const Key* a, const Key* b) const { return *a == *b; }
  };

  static std::shared_ptr<const Value> Owned(Value value) {
    return std::make_shared<const Value>(std::move(value));
  }
  static std::shared_ptr<const Value> Owned(std::shared_ptr<const Value> value) { return value; }
  std::shared_ptr<const Value> Used(Place entry) {
    entries_.splice(entries_.begin(), entries_, entry);
    return entry->value;
  }

  const size_t room_;
  const Weight weight_of_;
  std::mutex mutex_;
  size_t taken_ = 0;
  std::list<Entry> entries_;  // the last used first
  std::unordered_map<const Key*, Place, Hash, Equal> by_key_;
};

}  // namespace moecast
