// A block's time alone: its ops on the streams of one rank (costmodel/stream.h). A block is one
// list of ops, or several that run together on the same streams, as the halves of an overlapped
// forward and backward do.
#pragma once

#include <array>
#include <iterator>
#include <span>
#include <vector>

#include "base/units.h"
#include "costmodel/cost.h"
#include "costmodel/op.h"

namespace moecast {

inline constexpr int kOpClasses = static_cast<int>(std::size(EnumNames<OpClass>::kNames));

// Ops with their costs, in order.
struct CostedOps {
  std::vector<Op> ops;
  std::vector<Cost> costs;
  // How each fares beside an op of another stream (OpCosts::Beside).
  std::vector<double> beside;
  // Where each of several lists ends; empty: one list.
  std::vector<size_t> list_ends;
};

// The forward of some blocks and the full backward of others, each in the order they run, as one
// block of three lists: the forward, the gradients of activations, and those of weights, of which
// each waits for its block's op of its name in the former. REQUIRES: as many weight passes as
// backward passes.
CostedOps Overlapped(std::span<const CostedOps* const> forward,
                     std::span<const CostedOps* const> backward,
                     std::span<const CostedOps* const> weight);

struct BlockTime {
  Seconds total;
  // Compute stream, by OpClass, without recomputation; [kCollective] is what collectives take,
  // summed over the communicators.
  std::array<Seconds, kOpClasses> busy{};
  Seconds recomputed;  // compute stream: forward ops run again
  // Compute stream idle while this group communicates; of several groups at once each an equal
  // part, so that with what the compute stream does it is the total.
  std::array<Seconds, kGroupKinds> exposed{};

  BlockTime& operator+=(const BlockTime& o);
};
BlockTime operator*(BlockTime b, double n);

// When an op ran, from the start of its block.
struct OpSpan {
  Seconds start, end;
};

// Runs the ops of a block; `time` by op, of it alone on the device. A stream runs the ops of a list
// in order. Of several lists it goes on with the one it ran last until that waits for another
// stream, then takes the first that does not; the last list only fills what the others leave, so
// that weight gradients run where nothing else can. While collectives run, compute-bound kernels
// run on the SMs that these leave and memory-bound ones with the bandwidth that they leave
// (CostedOps::beside). Each communicator's kernel has thread blocks of its own (NCCL_MAX_CTAS is a
// limit of one kernel), so that of several what they take adds up, until the kernel has a fair
// share: one part of as many as run. Collectives are not slowed down by kernels. A collective may
// be somebody else's to time: it shares links with others.
class RunningBlock {
 public:
  static constexpr size_t kDone = static_cast<size_t>(-1);
  static constexpr size_t kWaits = kDone - 1;
  static constexpr size_t kNone = kDone - 2;

  // From the block's start. `shared` by op, not 0 for collectives that another times; empty: none.
  // REQUIRES: what is given outlives the run. Storage of an earlier run is used again.
  void Begin(const CostedOps& block, std::span<const Seconds> time,
             std::span<const char> shared = {}, std::vector<OpSpan>* spans = nullptr);
  // Runs on until a shared collective starts, whose index it returns, or all is done, or nothing
  // more happens by `until` though shared collectives are under way: kWaits. `ended`: the one of
  // these that ends at `until`, to be named again until RunOn returns no start. REQUIRES: of those
  // under way no other ends before `until`; `until` is not after Next(), but for rounding.
  size_t RunOn(Seconds until = Seconds(0), size_t ended = kNone);
  // Where RunOn has returned kWaits: when a shared collective may start next though none of those
  // under way ends, as an `until` that reaches it; infinite: not before one does.
  Seconds Next() const { return Seconds(next_); }
  Seconds now() const { return Seconds(now_); }
  // Whether nothing but this op is under way, of a block of one list: what comes next then depends
  // on nothing before.
  bool OnlyRuns(size_t op) const;
  // Of the block's clock alone: spans go on to count from its start. `until`: when that is by the
  // clock as it was.
  void PutClock(Seconds at, Seconds until);
  // The op that has ended last, of several at once a collective.
  size_t last() const { return last_; }
  // All that has run.
  const BlockTime& result() const { return result_; }

 private:
  static constexpr size_t kMostLists = 3;
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
    double left = 0;    // seconds of it at full rate; infinite where another times it
    size_t shared = 0;  // of its ops that have not started
  };
  Running StartOf(Stream stream) const;
  void SkipToStream(Stream stream, Cursor& c) const;
  bool Start(Running& r);
  void End(Running& r);
  double RateOfCompute() const;
  void Pass(double seconds, double rate);
  bool Shared(size_t op) const { return !shared_.empty() && shared_[op]; }

  const CostedOps* block_ = nullptr;
  std::span<const Seconds> time_;
  std::span<const char> shared_;
  std::vector<OpSpan>* spans_ = nullptr;
  // The compute stream, then the communicators that the block has ops on.
  std::array<Running, kStreams> running_{};
  size_t streams_ = 0;
  std::vector<char> done_;
  size_t left_ = 0;
  size_t last_ = kNone;
  double now_ = 0;
  double put_back_ = 0;  // the clock, in all
  double next_ = 0;
  BlockTime result_;
};

// A block alone on its device and links. `spans`, where given, gets one an op, in order.
BlockTime SolveBlock(const CostedOps& block, std::span<const Seconds> time,
                     std::vector<OpSpan>* spans = nullptr);

}  // namespace moecast
