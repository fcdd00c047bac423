// ZB-1p and ZB-2p: the automatic schedule of arXiv 2401.10241 (section 3.1) within p and 2 p micro-batches of
// memory, from the times of the tasks. Tasks are placed round by round, each as early as it can start:
// - before its first backward a stage runs the forwards that memory and the arrival of that backward leave
// room for;
// - from then on each round gives every stage a forward and a backward;
// - weight gradients fill gaps as long as they are; a shorter gap is filled too where leaving it would make
//   the stage the one that has idled longest. They also free memory for a forward;
// - a stage that is two or more forwards ahead of the next may leave one out that would delay its next
//   backward.
// Where a micro-batch takes more memory from B to W than from F to B, a limit of p holds fewer than p of them
// in flight; rounds then make some neighbours wait for each other, and the order idles far more than it would
// have to.
//
// The paper leaves three yes-or-no choices open and searches over them, as we do: the order with
// the shortest stage span is taken. It then hands that order to an integer linear program, which we leave
// out; it does not say what it optimises further, nor how ties go.
#include <algorithm>
#include <optional>

#include "sim/pipeline/orders.h"

namespace moecast {
namespace {

struct Choices {
  bool delay_first_backward;  // a last warm-up forward may run past the arrival of the first backward
  bool skip_forwards;
  bool fill_every_gap;  // with a weight gradient, also where no stage has idled as long
};

struct Stage {
  Time first_start{}, free{}, idle{};  // idle: since its first task
  int forwards = 0, backwards = 0, weights = 0;
};

class Attempt {
 public:
  Attempt(const PipelineShape& shape, double limit, const Choices& choices)
      : shape_(shape),
        limit_(limit + 1e-9),  // sums of shares, not exact
        kept_(shape.kept_for_weight),
        choices_(choices),
        p_(shape.stages),
        m_(shape.micro_batches),
        stages_(static_cast<size_t>(p_)),
        forward_end_(static_cast<size_t>(p_) * m_),
        backward_end_(static_cast<size_t>(p_) * m_),
        order_{.by_stage = std::vector<std::vector<PipelineTask>>(p_)} {
    for (std::vector<PipelineTask>& tasks : order_.by_stage) tasks.reserve(3 * static_cast<size_t>(m_));
    WarmUp();
    for (int i = 1; i < m_; ++i) Round();
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
    return s + 1 == p_ ? forward_end_[Index(s, i)] : backward_end_[Index(s + 1, i)] + shape_.transfer;
  }
  size_t Index(int s, int i) const { return static_cast<size_t>(s) * m_ + i; }

  // Micro-batches alive, those between B and W by what they keep.
  double Alive(const Stage& stage) const {
    return stage.forwards - stage.backwards + kept_ * (stage.backwards - stage.weights);
  }
  bool Pending(int s) const { return stages_[s].weights < stages_[s].backwards; }
  // One more forward, and then a backward with no weight gradient before it.
  double AliveAfterForward(int s) const { return Alive(stages_[s]) + 1 + std::max(0.0, kept_ - 1); }

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
    while (Pending(s) && Alive(stages_[s]) - 1 + kept_ > limit_) PutWeight(s);
    backward_end_[Index(s, i)] = Put(s, Phase::kBackward, i, BackwardArrival(s), shape_.backward[s]);
    ++stages_[s].backwards;
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
    Time backward = stages_[p_ - 1].free + shape_.backward[p_ - 1];  // end of the first one behind stage s
    for (int s = p_ - 2; s >= 0; --s) {
      const Time arrival = backward + shape_.transfer;
      Time free = stages_[s].free;
      while (1 + more[s] < m_ && AliveAfterForward(s) + more[s] <= limit_ &&
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

  // Whether stage s may leave out its forward of this round.
  bool Skips(int s) const {
    if (!choices_.skip_forwards || s + 1 == p_) return false;
    const Stage &here = stages_[s], &next = stages_[s + 1];
    if (here.forwards < next.forwards + 2) return false;
    const Time backward = next.free + shape_.forward[s + 1] + shape_.backward[s + 1] + shape_.transfer;
    if (here.free >= backward) return true;
    Time end = here.free + shape_.forward[s];
    double alive = AliveAfterForward(s);
    for (int w = here.weights; w < here.backwards && alive > limit_; ++w, alive -= kept_)
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
      while (Pending(s) && AliveAfterForward(s) > limit_) PutWeight(s);
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
  const double limit_, kept_;
  const Choices choices_;
  const int p_, m_;
  Time most_idle_{};
  std::vector<Stage> stages_;
  std::vector<Time> forward_end_, backward_end_;
  PipelineOrder order_;
};

PipelineOrder Automatic(const PipelineShape& shape, double own_limit) {
  const double limit =
      shape.memory_limit > 0 ? shape.memory_limit : std::max(own_limit, shape.kept_for_weight);
  PipelineOrder best;
  std::optional<Time> shortest;
  for (int c = 0; c < 8; ++c) {
    Attempt attempt(shape, limit, {(c & 4) != 0, (c & 2) != 0, (c & 1) != 0});
    if (shortest && *shortest <= attempt.Span()) continue;
    shortest = attempt.Span();
    best = attempt.Take();
  }
  LimitWeightDelay(shape, best);
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
