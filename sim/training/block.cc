#include "sim/training/block.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1), kMostLists = 3;

// The next op of a list on one stream.
struct Cursor {
  size_t op, end;
};

// One stream of the rank and what it runs.
struct Running {
  Stream stream;
  std::array<Cursor, kMostLists> lists{};
  size_t count = 0;   // of lists
  size_t list = 0;    // that it ran last, of those that do not only fill in
  size_t op = kNone;  // running now
  double left = 0;    // seconds of it at full rate
};

void SkipToStream(std::span<const Op> ops, Stream stream, Cursor& c) {
  while (c.op < c.end && ops[c.op].stream() != stream) ++c.op;
}

Running StartOf(const CostedOps& block, Stream stream) {
  Running r{.stream = stream};
  size_t begin = 0;
  const auto add = [&](size_t end) {
    MOECAST_CHECK(r.count < kMostLists);
    Cursor& list = r.lists[r.count++] = {begin, end};
    SkipToStream(block.ops, stream, list);
    begin = end;
  };
  if (block.list_ends.empty()) add(block.ops.size());
  for (const size_t end : block.list_ends) add(end);
  MOECAST_CHECK(begin == block.ops.size());
  return r;
}

// Full rate is 1.
double RateBeside(const CostedOps& block, size_t compute, size_t collective) {
  switch (block.costs[compute].bound) {
    case Bound::kCompute:
      return block.beside[compute];
    case Bound::kMemory:
      return 1 - block.beside[collective];
    case Bound::kLatency:
      return 1;
  }
  return 1;
}

}  // namespace

CostedOps Overlapped(std::span<const CostedOps* const> forward, std::span<const CostedOps* const> backward,
                     std::span<const CostedOps* const> weight) {
  MOECAST_CHECK(backward.size() == weight.size());
  CostedOps all;
  // Returns where the block's ops begin.
  const auto append = [&all](const CostedOps& block) {
    const size_t begin = all.ops.size();
    for (Op op : block.ops) {
      if (op.after >= 0) op.after += static_cast<int32_t>(begin);
      all.ops.push_back(op);
    }
    all.costs.insert(all.costs.end(), block.costs.begin(), block.costs.end());
    all.beside.insert(all.beside.end(), block.beside.begin(), block.beside.end());
    return begin;
  };
  for (const CostedOps* block : forward) append(*block);
  all.list_ends.push_back(all.ops.size());
  std::vector<size_t> begins;
  for (const CostedOps* block : backward) begins.push_back(append(*block));
  all.list_ends.push_back(all.ops.size());
  for (size_t i = 0; i < weight.size(); ++i) {
    for (size_t w = append(*weight[i]); w < all.ops.size(); ++w) {
      if (all.ops[w].after >= 0) continue;  // the collective that it waits for does
      for (size_t b = begins[i]; b < begins[i] + backward[i]->ops.size(); ++b)
        if (all.ops[b].name == all.ops[w].name) all.ops[w].after = static_cast<int32_t>(b);
    }
  }
  all.list_ends.push_back(all.ops.size());
  return all;
}

BlockTime& BlockTime::operator+=(const BlockTime& o) {
  total += o.total;
  recomputed += o.recomputed;
  for (size_t i = 0; i < busy.size(); ++i) busy[i] += o.busy[i];
  for (size_t i = 0; i < exposed.size(); ++i) exposed[i] += o.exposed[i];
  return *this;
}

BlockTime operator*(BlockTime b, double n) {
  b.total = b.total * n;
  b.recomputed = b.recomputed * n;
  for (Seconds& s : b.busy) s = s * n;
  for (Seconds& s : b.exposed) s = s * n;
  return b;
}

BlockTime SolveBlock(const CostedOps& block, std::span<const Seconds> time, std::vector<OpSpan>* spans) {
  const std::vector<Op>& ops = block.ops;
  MOECAST_CHECK(block.costs.size() == ops.size() && block.beside.size() == ops.size() &&
                time.size() == ops.size());
  if (spans) spans->assign(ops.size(), {});
  BlockTime result;
  Running compute = StartOf(block, Stream::kCompute), communication = StartOf(block, Stream::kCommunication);
  std::vector<char> done(ops.size());
  size_t left = ops.size();
  double now = 0;

  const auto start = [&](Running& r) {
    if (r.op != kNone) return;
    const auto ready = [&](const Cursor& c) {
      return c.op < c.end && (ops[c.op].after < 0 || done[static_cast<size_t>(ops[c.op].after)]);
    };
    size_t next = r.list;
    if (!ready(r.lists[next])) {
      for (next = 0; next < r.count && !ready(r.lists[next]);) ++next;
      if (next == r.count) return;
    }
    if (next + 1 < r.count) r.list = next;
    Cursor& c = r.lists[next];
    r.op = c.op++;
    SkipToStream(ops, r.stream, c);
    r.left = time[r.op].value;
    if (spans) (*spans)[r.op].start = Seconds(now);
  };
  const auto advance = [&](Running& r, double seconds, bool ended) {
    if (r.op == kNone) return;
    r.left -= seconds;
    if (!ended) return;
    if (spans) (*spans)[r.op].end = Seconds(now);
    done[r.op] = 1;
    --left;
    r.op = kNone;
  };

  while (left > 0) {
    start(compute);
    start(communication);
    const bool computes = compute.op != kNone, communicates = communication.op != kNone;
    MOECAST_CHECK(computes || communicates);
    const double rate = computes && communicates ? RateBeside(block, compute.op, communication.op) : 1;
    const double compute_end = computes ? compute.left / rate : INFINITY;
    const double communication_end = communicates ? communication.left : INFINITY;
    const double step = std::min(compute_end, communication_end);
    now += step;
    if (computes) {
      const Op& op = ops[compute.op];
      (op.recomputed ? result.recomputed : result.busy[static_cast<size_t>(op.op_class())]) += Seconds(step);
    }
    if (communicates) {
      const auto& query = std::get<CollectiveQuery>(ops[communication.op].query);
      result.busy[static_cast<size_t>(OpClass::kCollective)] += Seconds(step);
      if (!computes) result.exposed[static_cast<size_t>(query.group)] += Seconds(step);
    }
    advance(compute, step * rate, compute_end <= communication_end);
    advance(communication, step, communication_end <= compute_end);
  }
  result.total = Seconds(now);
  return result;
}

}  // namespace moecast
