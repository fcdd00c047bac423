// A block's time alone: its ops on the compute and the communication stream of one rank. A block is
// one list of ops, or several that run together on the two streams, as the halves of an overlapped
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
inline constexpr int kGroupKinds = static_cast<int>(std::size(EnumNames<GroupKind>::kNames));

// Ops with their costs, in order.
struct CostedOps {
  std::vector<Op> ops;
  std::vector<Cost> costs;
  // How each fares beside an op of the other stream (OpCosts::Beside).
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
  // Compute stream, by OpClass, without recomputation; [kCollective] is the communication stream's
  // time.
  std::array<Seconds, kOpClasses> busy{};
  Seconds recomputed;                          // compute stream: forward ops run again
  std::array<Seconds, kGroupKinds> exposed{};  // compute stream idle while this group communicates

  BlockTime& operator+=(const BlockTime& o);
};
BlockTime operator*(BlockTime b, double n);

// When an op ran, from the start of its block.
struct OpSpan {
  Seconds start, end;
};

// Runs the ops of a block; `time` by op, of it alone on the device. A stream runs the ops of a list
// in order. Of several lists it goes on with the one it ran last until that waits for the other
// stream, then takes the first that does not; the last list only fills what the others leave, so
// that weight gradients run where nothing else can. While both streams are busy compute-bound
// kernels run on the SMs that are left and memory-bound ones with the bandwidth that is left
// (CostedOps::beside); collectives are not slowed down by them. A collective may be somebody else's
// to time: it shares links with others.
class RunningBlock {
 public:
  static constexpr size_t kDone = static_cast<size_t>(-1);

  // From the block's start. `shared` by op, not 0 for collectives that another times; empty: none.
  // REQUIRES: what is given outlives the run. Storage of an earlier run is used again.
  void Begin(const CostedOps& block, std::span<const Seconds> time,
             std::span<const char> shared = {}, std::vector<OpSpan>* spans = nullptr);
  // Runs on until a shared collective starts, whose index it returns, or all is done. `shared_end`:
  // when the one that it returned last ended.
  size_t RunOn(Seconds shared_end = Seconds(0));
  Seconds now() const { return Seconds(now_); }
  // All that has run.
  const BlockTime& result() const { return result_; }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1), kMostLists = 3;
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
  Running StartOf(Stream stream) const;
  void SkipToStream(Stream stream, Cursor& c) const;
  void Start(Running& r);
  void Advance(Running& r, double seconds, bool ended);
  double RateBeside() const;
  bool Shared(size_t op) const { return !shared_.empty() && shared_[op]; }

  const CostedOps* block_ = nullptr;
  std::span<const Seconds> time_;
  std::span<const char> shared_;
  std::vector<OpSpan>* spans_ = nullptr;
  Running compute_{}, communication_{};
  std::vector<char> done_;
  size_t left_ = 0;
  double now_ = 0;
  bool waits_ = false;  // for the end of a shared collective
  BlockTime result_;
};

// A block alone on its device and links. `spans`, where given, gets one an op, in order.
BlockTime SolveBlock(const CostedOps& block, std::span<const Seconds> time,
                     std::vector<OpSpan>* spans = nullptr);

}  // namespace moecast
