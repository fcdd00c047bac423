// A lane of a schedule under way: where it is in the program of its task. Times within a task are
// kept in seconds of its program as if no rank had more to do than on average (`slower`) and
// nothing had met on links (`shift`), so that a lane whose blocks are run op by op and one whose
// blocks only take what they take alone come to the same picosecond.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/linked_schedule.h"

namespace moecast {

struct LaneRun {
  // A collective of the block that is run.
  struct Sent {
    size_t op = 0;
    Seconds sent;                      // by the block's clock
    Seconds end_alone;                 // the same
    Time end;                          // alone
    const LinkClaim* claim = nullptr;  // of the block alone
  };

  const LinkedSchedule* linked = nullptr;
  int rank = 0;
  int32_t next = 0;   // task
  int32_t task = -1;  // running; -1: none
  Time start;         // of the task
  const QuietProgram* program = nullptr;
  double slower = 1;  // than its program
  Seconds shift;      // that the program's start is later than the task's by what its blocks lost
  int32_t block = 0;  // of the program: running, or the first that the lane is quiet from
  bool awake = false;
  // Events that still hold; others of their kinds do not.
  int64_t quiet_ends = -1;
  int64_t quiet_sends = -1;
  int64_t goes_on = -1;
  size_t claim = 0;  // of the program: the first not yet looked at
  std::array<Sent, kStreams> sent{};
  RunningBlock run;
  std::vector<OpSpan> spans;
  Seconds from;  // where the block began, from the task's start

  int32_t blocks() const { return static_cast<int32_t>(program->blocks.size()); }
  const LinkedBlock& Block(int32_t number) const {
    return linked->Of(rank, program->blocks[number]);
  }
  const LinkedCollective& CollectiveOf(const LinkClaim& of) const {
    return Block(of.block).shared[static_cast<size_t>(of.op)];
  }
  const LinkedCollective& CollectiveOf(size_t op) const { return Block(block).shared[op]; }
  int32_t StreamOf(const LinkClaim& of) const {
    return static_cast<int32_t>(Block(of.block).costed->ops[static_cast<size_t>(of.op)].stream());
  }

  // When the program is there.
  Time TimeOf(Seconds of_program) const { return start + Time::From(shift + of_program * slower); }
  Time TimeInBlock(Seconds of_block) const { return TimeOf(program->begins[block] + of_block); }
  Time SentAt(int32_t stream) const { return TimeInBlock(sent[static_cast<size_t>(stream)].sent); }
  // Where a collective of the block that ends at `now` ends in seconds of the block: of one that
  // met nothing to the last bit.
  Seconds EndInBlock(const Sent& of, Time now) const {
    if (now == of.end) return of.end_alone;
    return ((now - start).seconds() - shift) / slower - program->begins[block];
  }
  // Whether a collective of a quiet lane has ended well before `now`: a look without rounding.
  bool IsOver(const LinkClaim& of, Time now) const {
    constexpr Seconds kRounding{1e-11};
    return shift + of.end * slower + kRounding < (now - start).seconds();
  }
  // The end of the quiet run that stops before a block.
  Time QuietEnd(int32_t stop) const;

  void Begin(bool with_spans) {
    const LinkedBlock& at = Block(block);
    from = shift + program->begins[block] * slower;
    run.Begin(*at.costed, at.time, at.is_shared, with_spans ? &spans : nullptr);
  }
  // A collective of the block has started just now as the block has it: its stream.
  int32_t Started(size_t op);
  // From its begin on, where nothing has met it. Returns the streams whose collectives are under
  // way or about to be sent at `now`.
  std::vector<int32_t> RunUpTo(Time now);
};

}  // namespace moecast
