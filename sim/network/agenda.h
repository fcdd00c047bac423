// When what is next: a time for each of some numbers, of which each may be moved. A binary heap
// that knows where its entries lie, so that it holds no more than there are.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/time.h"

namespace moecast {

class Agenda {
 public:
  struct Entry {
    Time at;
    int32_t id;
  };
  bool empty() const { return heap_.empty(); }
  const Entry& first() const { return heap_.front(); }  // of equal times any. REQUIRES: !empty()

  // In place of the time it had; kNever: it has none. REQUIRES: id >= 0; memory grows with the
  // largest.
  void Set(int32_t id, Time at) {
    if (static_cast<size_t>(id) >= place_.size())
      place_.resize(static_cast<size_t>(id) + 1, kNowhere);
    int32_t place = place_[id];
    if (place == kNowhere) {
      if (at == kNever) return;
      place = static_cast<int32_t>(heap_.size());
      heap_.push_back({at, id});
    } else if (at == kNever) {
      place_[id] = kNowhere;
      const Entry last = heap_.back();
      heap_.pop_back();
      if (last.id == id) return;
      heap_[place] = last;
    } else {
      heap_[place].at = at;
    }
    Down(Up(place));
  }

 private:
  static constexpr int32_t kNowhere = -1;

  // Both return where the entry has come to.
  int32_t Up(int32_t place) {
    const Entry entry = heap_[place];
    for (; place > 0 && entry.at < heap_[(place - 1) / 2].at; place = (place - 1) / 2)
      Put(place, heap_[(place - 1) / 2]);
    return Put(place, entry);
  }
  int32_t Down(int32_t place) {
    const Entry entry = heap_[place];
    const auto size = static_cast<int32_t>(heap_.size());
    while (2 * place + 1 < size) {
      int32_t child = 2 * place + 1;
      if (child + 1 < size && heap_[child + 1].at < heap_[child].at) ++child;
      if (!(heap_[child].at < entry.at)) break;
      Put(place, heap_[child]);
      place = child;
    }
    return Put(place, entry);
  }
  int32_t Put(int32_t place, Entry entry) {
    heap_[place] = entry;
    place_[entry.id] = place;
    return place;
  }

  std::vector<Entry> heap_;
  std::vector<int32_t> place_;  // by id
};

}  // namespace moecast
