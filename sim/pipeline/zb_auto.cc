// ZB-1p and ZB-2p: the automatic schedule of arXiv 2401.10241 (section 3.1) within p and 2 p
// micro-batches of memory, from the times of the tasks. Tasks are placed round by round, each as
// early as it can start:
// - before its first backward a stage runs the forwards that memory and the arrival of that
// backward leave room for;
// - from then on each round gives every stage a forward and a backward;
// - weight gradients fill gaps as long as they are; a shorter gap is filled too where leaving it
// would make
//   the stage the one that has idled longest. They also free memory for a forward;
// - a stage that is two or more forwards ahead of the next may leave one out that would delay its
// next
//   backward.
// Where memory holds fewer micro-batches in flight than there are stages (a limit below p, or a
// micro-batch that takes more memory from B to W than from F to B), rounds make neighbours wait for
// each other. There one more order is tried, in the order of time: each stage starts what it can
// start first, of several things a backward before a forward before a weight gradient, and a
// forward only within memory.
//
// The paper leaves three yes-or-no choices open and searches over them, as we do: the order with
// the shortest stage span is taken. It then hands that order to an integer linear program, which we
// leave out; it does not say what it optimises further, nor how ties go.
#include <algorithm>
#include <functional>
#include <optional>
#include <queue>
#include <utility>

#include "sim/pipeline/orders.h"

namespace moecast {
namespace {

struct Choices {
  bool in_time_order;         // of the others only the last then chooses
  bool delay_first_backward;  // a last warm-up forward may run past the arrival of the first
                              // backward
  bool skip_forwards;
  bool fill_every_gap;  // with a weight gradient, also where no stage has idled as long
};

struct Stage {
  Time first_start{}, free{}, idle{};  // idle: since its first task
  int forwards = 0, backwards = 0, weights = 0;
  double limit = 0, kept = 0;  // memory, and kept_for_weight
};

double LimitOf(const PipelineShape& shape, double own_limit, int s) {
  double limit = shape.memory_limit > 0 ? shape.memory_limit : own_limit;
  if (!shape.stage_limit.empty()) limit = std::min(limit, shape.stage_limit[s]);
  return std::max({limit, 1.0, shape.KeptForWeight(s)});  // one micro-batch, or nothing runs
}

class Attempt {
 public:
  Attempt(const PipelineShape& shape, double own_limit, const Choices& choices)
      : shape_(shape),
        choices_(choices),
        p_(shape.stages),
        m_(shape.micro_batches),
        stages_(static_cast<size_t>(p_)),
        forward_end_(static_cast<size_t>(p_) * m_),
        backward_end_(static_cast<size_t>(p_) * m_),
        order_{.by_stage = std::vector<std::vector<PipelineTask>>(p_)} {
    for (int s = 0; s < p_; ++s) {
      stages_[s].kept = shape.KeptForWeight(s);
      stages_[s].limit = LimitOf(shape, own_limit, s) + 1e-9;  // sums of shares, not exact
    }
    for (std::vector<PipelineTask>& tasks : order_.by_stage)
      tasks.reserve(3 * static_cast<size_t>(m_));
    if (choices.in_time_order) {
      InTimeOrder();
    } else {
      WarmUp();
      for (int i = 1; i < m_; ++i) Round();
    }
    for (int s = 0; s < p_; ++s)
      while (stages_[s].weights < m_) PutWeight(s);
  }

  Time Span() const {
    Time longest{};
    for (const Stage& stage : stages_) longest = std::max(longest, stage.free - stage.first_start);
    return longest;
  }
  PipelineOrder Take() { return std::move(order_); }

 private:
  Time ForwardArrival(int s) const {
    return s == 0 ? Time{} : forward_end_[Index(s - 1, stages_[s].forwards)] + shape_.transfer;
  }
  Time BackwardArrival(int s) const {
    const int i = stages_[s].backwards;
    return s + 1 == p_ ? forward_end_[Index(s, i)]
                       : backward_end_[Index(s + 1, i)] + shape_.transfer;
  }
  size_t Index(int s, int i) const { return static_cast<size_t>(s) * m_ + i; }

  // Micro-batches alive, those between B and W by what they keep.
  double Alive(const Stage& stage) const {
    return stage.forwards - stage.backwards + stage.kept * (stage.backwards - stage.weights);
  }
  bool Pending(int s) const { return stages_[s].weights < stages_[s].backwards; }
  // One more forward, and then a backward with no weight gradient before it.
  double AliveAfterForward(int s) const {
    return Alive(stages_[s]) + 1 + std::max(0.0, stages_[s].kept - 1);
  }

  Time Put(int s, Phase phase, int micro_batch, Time arrival, Time duration) {
    Stage& stage = stages_[s];
    const Time start = std::max(stage.free, arrival);
    if (stage.forwards == 0)
      stage.first_start = start;
    else
      stage.idle += start - stage.free;
    most_idle_ = std::max(most_idle_, stage.idle);
    stage.free = start + duration;
    order_.by_stage[s].push_back({phase, micro_batch});
    return stage.free;
  }
  void PutForward(int s) {
    const int i = stages_[s].forwards;
    forward_end_[Index(s, i)] = Put(s, Phase::kForward, i, ForwardArrival(s), shape_.forward[s]);
    ++stages_[s].forwards;
  }
  void PutBackward(int s) {
    const int i = stages_[s].backwards;
    while (Pending(s) && Alive(stages_[s]) - 1 + stages_[s].kept > stages_[s].limit) PutWeight(s);
    backward_end_[Index(s, i)] =
        Put(s, Phase::kBackward, i, BackwardArrival(s), shape_.backward[s]);
    ++stages_[s].backwards;
    while (shape_.weight_delay >= 0 &&
           stages_[s].backwards - stages_[s].weights > shape_.weight_delay)
      PutWeight(s);
  }
  void PutWeight(int s) { Put(s, Phase::kWeight, stages_[s].weights++, Time{}, shape_.weight[s]); }

  // Weight gradients until what the stage waits for arrives.
  void Fill(int s, Time arrival) {
    const Stage& stage = stages_[s];
    while (Pending(s) && stage.free + shape_.weight[s] <= arrival) PutWeight(s);
    const Time gap = arrival - stage.free;
    if (Pending(s) && gap > Time{} && (choices_.fill_every_gap || stage.idle + gap > most_idle_))
      PutWeight(s);
  }

  void WarmUp() {
    for (int s = 0; s < p_; ++s) PutForward(s);
    std::vector<int> more(static_cast<size_t>(p_));
    Time backward =
        stages_[p_ - 1].free + shape_.backward[p_ - 1];  // end of the first one behind stage s
    for (int s = p_ - 2; s >= 0; --s) {
      const Time arrival = backward + shape_.transfer;
      Time free = stages_[s].free;
      while (
          1 + more[s] < m_ && AliveAfterForward(s) + more[s] <= stages_[s].limit &&
          (choices_.delay_first_backward ? free < arrival : free + shape_.forward[s] <= arrival)) {
        free += shape_.forward[s];
        ++more[s];
      }
      backward = std::max(free, arrival) + shape_.backward[s];
    }
    // A stage stays ahead of the next as long as it has forwards left.
    for (int s = 1; s < p_; ++s) more[s] = std::min(more[s], std::max(0, more[s - 1] - 1));
    for (int s = 0; s < p_; ++s)
      for (int i = 0; i < more[s]; ++i) PutForward(s);
    for (int s = p_ - 1; s >= 0; --s) PutBackward(s);
  }

  // The first thing that stage s can start, by what is known so far.
  struct Next {
    Time at;
    Phase phase;
  };
  std::optional<Next> NextOf(int s) const {
    const Stage& stage = stages_[s];
    std::optional<Next> next;
    const auto offer = [&](Phase phase, Time arrival) {
      const Time at = std::max(stage.free, arrival);
      if (!next || at < next->at) next = Next{at, phase};
    };
    const int ahead = s + 1 == p_ ? stage.forwards : stages_[s + 1].backwards;
    const bool weight_first = Pending(s) && Alive(stage) - 1 + stage.kept > stage.limit;
    if (ahead > stage.backwards && !weight_first) offer(Phase::kBackward, BackwardArrival(s));
    const int arrived = s == 0 ? m_ : stages_[s - 1].forwards;
    if (arrived > stage.forwards && AliveAfterForward(s) <= stage.limit)
      offer(Phase::kForward, ForwardArrival(s));
    const bool fits_gap = !next || stage.free + shape_.weight[s] <= next->at;
    if (Pending(s) && (choices_.fill_every_gap || fits_gap)) offer(Phase::kWeight, Time{});
    return next;
  }

  void InTimeOrder() {
    using Entry = std::pair<Time, int>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    const auto push = [&](int s) {
      if (const auto next = NextOf(s)) queue.emplace(next->at, s);
    };
    push(0);
    while (!queue.empty()) {
      const auto [at, s] = queue.top();
      queue.pop();
      const auto next = NextOf(s);
      if (!next || next->at != at) continue;  // it has changed since, and was entered anew
      if (next->phase == Phase::kForward) PutForward(s);
      if (next->phase == Phase::kBackward) PutBackward(s);
      if (next->phase == Phase::kWeight) PutWeight(s);
      push(s);
      if (next->phase == Phase::kForward && s + 1 < p_) push(s + 1);
      if (next->phase == Phase::kBackward && s > 0) push(s - 1);
    }
  }

  // Whether stage s may leave out its forward of this round.
  bool Skips(int s) const {
    if (!choices_.skip_forwards || s + 1 == p_) return false;
    const Stage &here = stages_[s], &next = stages_[s + 1];
    if (here.forwards < next.forwards + 2) return false;
    const Time backward =
        next.free + shape_.forward[s + 1] + shape_.backward[s + 1] + shape_.transfer;
    if (here.free >= backward) return true;
    Time end = here.free + shape_.forward[s];
    double alive = AliveAfterForward(s);
    for (int w = here.weights; w < here.backwards && alive > here.limit; ++w, alive -= here.kept)
      end += shape_.weight[s];
    return end > backward && here.idle + (backward - here.free) <= most_idle_;
  }

  void Round() {
    std::vector<char> forward(static_cast<size_t>(p_));
    for (int s = p_ - 1; s >= 0; --s) {
      const bool next_goes_on = s + 1 == p_ || forward[s + 1] || stages_[s + 1].forwards == m_;
      forward[s] = stages_[s].forwards < m_ && next_goes_on && !Skips(s);
    }
    for (int s = 0; s < p_; ++s) {
      if (!forward[s]) continue;
      while (Pending(s) && AliveAfterForward(s) > stages_[s].limit) PutWeight(s);
      Fill(s, ForwardArrival(s));
      PutForward(s);
    }
    for (int s = p_ - 1; s >= 0; --s) {
      Fill(s, BackwardArrival(s));
      // Nobody waits for the backwards of stage 0.
      while (s == 0 && stages_[s].forwards == m_ && Pending(s)) PutWeight(s);
      PutBackward(s);
    }
  }

  const PipelineShape& shape_;
  const Choices choices_;
  const int p_, m_;
  Time most_idle_{};
  std::vector<Stage> stages_;
  std::vector<Time> forward_end_, backward_end_;
  PipelineOrder order_;
};

PipelineOrder Automatic(const PipelineShape& shape, double own_limit) {
  PipelineOrder best;
  std::optional<Time> shortest;
  const auto attempt = [&](const Choices& choices) {
    Attempt made(shape, own_limit, choices);
    if (shortest && *shortest <= made.Span()) return;
    shortest = made.Span();
    best = made.Take();
  };
  for (int c = 0; c < 8; ++c) attempt({false, (c & 4) != 0, (c & 2) != 0, (c & 1) != 0});
  bool few_in_flight = false;
  for (int s = 0; s < shape.stages; ++s)
    few_in_flight =
        few_in_flight ||
        LimitOf(shape, own_limit, s) - std::max(0.0, shape.KeptForWeight(s) - 1) < shape.stages - s;
  for (const bool fill : {true, false})
    if (few_in_flight) attempt({.in_time_order = true, .fill_every_gap = fill});
  return best;
}

}  // namespace

PipelineOrder Zb1p(const PipelineShape& shape) {
  return Automatic(shape, shape.stages);
}

PipelineOrder Zb2p(const PipelineShape& shape) {
  return Automatic(shape, 2 * shape.stages);
}

}  // namespace moecast
