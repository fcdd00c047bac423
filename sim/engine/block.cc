#include "sim/engine/block.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moecast {
CostedOps Overlapped(std::span<const CostedOps* const> forward,
                     std::span<const CostedOps* const> backward,
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

void RunningBlock::SkipToStream(Stream stream, Cursor& c) const {
  while (c.op < c.end && block_->ops[c.op].stream() != stream) ++c.op;
}

RunningBlock::Running RunningBlock::StartOf(Stream stream) const {
  Running r{.stream = stream};
  size_t begin = 0;
  const auto add = [&](size_t end) {
    MOECAST_CHECK(r.count < kMostLists);
    Cursor& list = r.lists[r.count++] = {begin, end};
    SkipToStream(stream, list);
    begin = end;
  };
  if (block_->list_ends.empty()) add(block_->ops.size());
  for (const size_t end : block_->list_ends) add(end);
  MOECAST_CHECK(begin == block_->ops.size());
  return r;
}

void RunningBlock::Begin(const CostedOps& block, std::span<const Seconds> time,
                         std::span<const char> shared, std::vector<OpSpan>* spans) {
  const size_t ops = block.ops.size();
  MOECAST_CHECK(block.costs.size() == ops && block.beside.size() == ops && time.size() >= ops);
  MOECAST_CHECK(shared.empty() || shared.size() == ops);
  block_ = &block;
  time_ = time;
  shared_ = shared;
  spans_ = spans;
  if (spans) spans->assign(ops, {});
  compute_ = StartOf(Stream::kCompute);
  communication_ = StartOf(Stream::kCommunication);
  done_.assign(ops, 0);
  left_ = ops;
  now_ = 0;
  waits_ = false;
  result_ = {};
}

void RunningBlock::Start(Running& r) {
  if (r.op != kNone) return;
  const std::vector<Op>& ops = block_->ops;
  const auto ready = [&](const Cursor& c) {
    return c.op < c.end && (ops[c.op].after < 0 || done_[static_cast<size_t>(ops[c.op].after)]);
  };
  size_t next = r.list;
  if (!ready(r.lists[next])) {
    for (next = 0; next < r.count && !ready(r.lists[next]);) ++next;
    if (next == r.count) return;
  }
  if (next + 1 < r.count) r.list = next;
  Cursor& c = r.lists[next];
  r.op = c.op++;
  SkipToStream(r.stream, c);
  r.left = time_[r.op].value;
  if (spans_) (*spans_)[r.op].start = Seconds(now_);
}

void RunningBlock::Advance(Running& r, double seconds, bool ended) {
  if (r.op == kNone) return;
  r.left -= seconds;
  if (!ended) return;
  if (spans_) (*spans_)[r.op].end = Seconds(now_);
  done_[r.op] = 1;
  --left_;
  r.op = kNone;
}

// Full rate is 1.
double RunningBlock::RateBeside() const {
  switch (block_->costs[compute_.op].bound) {
    case Bound::kCompute:
      return block_->beside[compute_.op];
    case Bound::kMemory:
      return 1 - block_->beside[communication_.op];
    case Bound::kLatency:
      return 1;
  }
  return 1;
}

size_t RunningBlock::RunOn(Seconds shared_end) {
  const std::vector<Op>& ops = block_->ops;
  while (left_ > 0) {
    Start(compute_);
    Start(communication_);
    const bool computes = compute_.op != kNone, communicates = communication_.op != kNone;
    MOECAST_CHECK(computes || communicates);
    const bool shared = communicates && Shared(communication_.op);
    if (shared && !waits_) {
      waits_ = true;
      return communication_.op;
    }
    if (shared) communication_.left = std::max(0.0, shared_end.value - now_);
    const double rate = computes && communicates ? RateBeside() : 1;
    const double compute_end = computes ? compute_.left / rate : INFINITY;
    const double communication_end = communicates ? communication_.left : INFINITY;
    const double step = std::min(compute_end, communication_end);
    now_ += step;
    if (computes) {
      const Op& op = ops[compute_.op];
      (op.recomputed ? result_.recomputed : result_.busy[static_cast<size_t>(op.op_class())]) +=
          Seconds(step);
    }
    if (communicates) {
      const auto& query = std::get<CollectiveQuery>(ops[communication_.op].query);
      result_.busy[static_cast<size_t>(OpClass::kCollective)] += Seconds(step);
      if (!computes) result_.exposed[static_cast<size_t>(query.group)] += Seconds(step);
    }
    const bool ends = communication_end <= compute_end;
    if (shared && ends) waits_ = false;
    Advance(compute_, step * rate, compute_end <= communication_end);
    Advance(communication_, step, ends);
  }
  result_.total = Seconds(now_);
  return kDone;
}

BlockTime SolveBlock(const CostedOps& block, std::span<const Seconds> time,
                     std::vector<OpSpan>* spans) {
  RunningBlock run;
  run.Begin(block, time, {}, spans);
  run.RunOn();
  return run.result();
}

}  // namespace moecast
