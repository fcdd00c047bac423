#include "sim/engine/lane_run.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

Time LaneRun::QuietEnd(int32_t stop) const {
  if (stop < blocks() || stop == block || program->last < 0) return TimeOf(program->begins[stop]);
  const LinkClaim& last = program->claims[program->last];
  return EndAlone(CollectiveOf(last), slower, TimeOf(last.sent));
}

int32_t LaneRun::Started(size_t op) {
  const LinkedCollective& collective = CollectiveOf(op);
  const int32_t stream =
      StreamOf({.sent = {}, .end = {}, .block = block, .op = static_cast<int32_t>(op)});
  const Seconds at = run.now() + collective.alpha();
  const auto is_op = [op](const LinkClaim& c) { return static_cast<size_t>(c.op) == op; };
  sent[static_cast<size_t>(stream)] = {.op = op,
                                       .sent = at,
                                       .end_alone = at + collective.flow_time(),
                                       .end = {},
                                       .claim = &*std::ranges::find_if(Block(block).claims, is_op)};
  return stream;
}

std::vector<int32_t> LaneRun::RunUpTo(Time now) {
  std::vector<int32_t> out;
  const auto run_on = [&](Seconds until, size_t ended) {
    size_t op = run.RunOn(until, ended);
    for (; op < RunningBlock::kNone; op = run.RunOn(until, ended)) {
      const int32_t stream = Started(op);
      sent[static_cast<size_t>(stream)].end = EndAlone(CollectiveOf(op), slower, SentAt(stream));
      out.push_back(stream);
    }
    return op == RunningBlock::kWaits;
  };
  size_t ended = RunningBlock::kNone;
  for (Seconds until; run_on(until, ended);) {
    const auto end_of = [&](int32_t s) { return sent[static_cast<size_t>(s)].end_alone; };
    const auto first = std::ranges::min_element(out, {}, end_of);
    const Sent& ends = sent[static_cast<size_t>(*first)];
    ended = RunningBlock::kNone;
    until = run.Next();
    if (ends.end_alone > until) {
      if (TimeInBlock(until) >= now) return out;
      continue;
    }
    if (ends.end > now) return out;
    until = ends.end_alone;
    ended = ends.op;
    out.erase(first);
    run_on(until, RunningBlock::kNone);
    if (ends.claim->settles) run.PutClock(until, until);
  }
  MOECAST_CHECK(false);  // nothing was under way
}

}  // namespace moecast
