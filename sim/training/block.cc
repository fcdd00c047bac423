#include "sim/training/block.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
namespace {

// The position of one stream in the ops of a block.
struct Cursor {
  Stream stream;
  size_t op = 0;    // current, or ops.size()
  double left = 0;  // seconds of the current op at full rate
  bool running = false;
};

void SkipToStream(std::span<const Op> ops, Cursor& c) {
  while (c.op < ops.size() && ops[c.op].stream() != c.stream) ++c.op;
}

}  // namespace

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

BlockTime SolveBlock(std::span<const Op> ops, std::span<const Cost> costs, std::span<const Seconds> time,
                     OverlapRate rate, std::vector<OpSpan>* spans) {
  MOECAST_CHECK(costs.size() == ops.size() && time.size() == ops.size());
  if (spans) spans->assign(ops.size(), {});
  BlockTime result;
  Cursor compute{Stream::kCompute}, communication{Stream::kCommunication};
  SkipToStream(ops, compute);
  SkipToStream(ops, communication);
  double now = 0;
  const auto start_if_ready = [&](Cursor& c, const Cursor& other) {
    // Ops of the other stream before its cursor are done.
    if (c.running || c.op == ops.size()) return;
    const int after = ops[c.op].after;
    if (after >= 0 && static_cast<size_t>(after) >= other.op) return;
    c.running = true;
    c.left = time[c.op].value;
    if (spans) (*spans)[c.op].start = Seconds(now);
  };
  while (compute.op < ops.size() || communication.op < ops.size()) {
    start_if_ready(compute, communication);
    start_if_ready(communication, compute);
    MOECAST_CHECK(compute.running || communication.running);
    const bool both = compute.running && communication.running;
    const double speed = both && costs[compute.op].bound == Bound::kCompute ? rate.compute : 1;
    const double compute_end = compute.running ? compute.left / speed : INFINITY;
    const double communication_end = communication.running ? communication.left : INFINITY;
    const double step = std::min(compute_end, communication_end);
    now += step;
    if (compute.running) {
      const Op& op = ops[compute.op];
      (op.recomputed ? result.recomputed : result.busy[static_cast<size_t>(op.op_class())]) += Seconds(step);
    }
    if (communication.running) {
      const auto& query = std::get<CollectiveQuery>(ops[communication.op].query);
      result.busy[static_cast<size_t>(OpClass::kCollective)] += Seconds(step);
      if (!compute.running) result.exposed[static_cast<size_t>(query.group)] += Seconds(step);
    }
    const auto advance = [&](Cursor& c, double done, bool ended) {
      if (!c.running) return;
      c.left -= done;
      if (!ended) return;
      if (spans) (*spans)[c.op].end = Seconds(now);
      c.running = false;
      ++c.op;
      SkipToStream(ops, c);
    };
    const bool compute_ended = compute_end <= communication_end,
               communication_ended = communication_end <= compute_end;
    advance(compute, step * speed, compute_ended);
    advance(communication, step, communication_ended);
  }
  result.total = Seconds(now);
  return result;
}

}  // namespace moecast
