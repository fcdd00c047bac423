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
  for (size_t i = 0; i < begin; ++i) r.shared += Shared(i) && block_->ops[i].stream() == stream;
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
  std::array<bool, kStreams> has{true};
  for (const Op& op : block.ops) has[static_cast<size_t>(op.stream())] = true;
  streams_ = 0;
  for (size_t s = 0; s < has.size(); ++s)
    if (has[s]) running_[streams_++] = StartOf(static_cast<Stream>(s));
  done_.assign(ops, 0);
  left_ = ops;
  last_ = kNone;
  now_ = put_back_ = 0;
  result_ = {};
}

// Whether it starts a shared collective.
bool RunningBlock::Start(Running& r) {
  if (r.op != kNone) return false;
  const std::vector<Op>& ops = block_->ops;
  const auto ready = [&](const Cursor& c) {
    return c.op < c.end && (ops[c.op].after < 0 || done_[static_cast<size_t>(ops[c.op].after)]);
  };
  size_t next = r.list;
  if (!ready(r.lists[next])) {
    for (next = 0; next < r.count && !ready(r.lists[next]);) ++next;
    if (next == r.count) return false;
  }
  if (next + 1 < r.count) r.list = next;
  Cursor& c = r.lists[next];
  r.op = c.op++;
  SkipToStream(r.stream, c);
  if (spans_) (*spans_)[r.op].start = Seconds(now_ + put_back_);
  const bool shared = Shared(r.op);
  r.left = shared ? INFINITY : time_[r.op].value;
  r.shared -= shared;
  return shared;
}

void RunningBlock::End(Running& r) {
  if (spans_) (*spans_)[r.op].end = Seconds(now_ + put_back_);
  done_[r.op] = 1;
  last_ = r.op;
  --left_;
  r.op = kNone;
}

bool RunningBlock::OnlyRuns(size_t op) const {
  if (!block_->list_ends.empty()) return false;
  return std::all_of(running_.begin(), running_.begin() + static_cast<std::ptrdiff_t>(streams_),
                     [op](const Running& r) { return r.op == kNone || r.op == op; });
}

void RunningBlock::PutClock(Seconds at, Seconds until) {
  put_back_ += until.value - at.value;
  now_ = at.value;
}

// Of the kernel that runs, beside the collectives that do. Full rate is 1.
double RunningBlock::RateOfCompute() const {
  const size_t op = running_[0].op;
  int others = 0;
  double hbm = 0;
  for (size_t s = 1; s < streams_; ++s) {
    if (running_[s].op == kNone) continue;
    ++others;
    hbm += block_->beside[running_[s].op];
  }
  if (others == 0) return 1;
  const double beside = block_->beside[op];
  // What is left, or a fair share where all together want more than there is.
  const double fair = 1.0 / (others + 1);
  switch (block_->costs[op].bound) {
    case Bound::kCompute:
      return std::max(std::min(beside, fair), beside - (others - 1) * (1 - beside));
    case Bound::kMemory:
      return std::max(1 - hbm, fair);
    case Bound::kLatency:
      return 1;
  }
  return 1;
}

// What runs has so many seconds, the kernel at `rate`; what is done by then ends.
void RunningBlock::Pass(double seconds, double rate) {
  now_ += seconds;
  int communicate = 0;
  for (size_t s = 1; s < streams_; ++s) communicate += running_[s].op != kNone;
  const bool computes = running_[0].op != kNone;
  for (size_t s = 0; s < streams_; ++s) {
    Running& r = running_[s];
    if (r.op == kNone) continue;
    const Op& op = block_->ops[r.op];
    (s == 0 && op.recomputed ? result_.recomputed
                             : result_.busy[static_cast<size_t>(op.op_class())]) +=
        Seconds(seconds);
    if (!computes)
      result_.exposed[static_cast<size_t>(GroupOf(r.stream))] += Seconds(seconds / communicate);
    const double rate_of = s == 0 ? rate : 1;
    const bool ends = r.left / rate_of <= seconds;
    r.left -= seconds * rate_of;
    if (ends) End(r);
  }
}

size_t RunningBlock::RunOn(Seconds until, size_t ended) {
  for (size_t s = 1; s < streams_; ++s)
    if (running_[s].op == ended) running_[s].left = std::max(0.0, until.value - now_);
  while (left_ > 0) {
    for (size_t s = 0; s < streams_; ++s)
      if (Start(running_[s])) return running_[s].op;
    const bool computes = running_[0].op != kNone;
    const double rate = computes ? RateOfCompute() : 1;
    double step = computes ? running_[0].left / rate : INFINITY;
    bool runs = computes;
    bool waits = false;      // for what another times
    bool may_start = false;  // a shared one beside it
    for (size_t s = 1; s < streams_; ++s) {
      const Running& r = running_[s];
      const bool is_out = r.op != kNone && r.left == INFINITY;
      if (r.op != kNone) step = std::min(step, r.left);
      runs = runs || r.op != kNone;
      waits = waits || is_out;
      may_start = may_start || (r.shared > 0 && !is_out);
    }
    MOECAST_CHECK(runs);
    // As near as rounding lets the two sums tell.
    if (waits && now_ + step > until.value && step > until.value - now_) {
      next_ = may_start ? now_ + step : INFINITY;
      return kWaits;
    }
    Pass(step, rate);
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
