// DualPipeV (DeepSeek's DualPipe repository, where "cut-in-half" is credited to Sea AI Lab): V
// placement, two chunks a stage. Stage s of p starts with forwards of chunk 0 and then of both,
// until the first backward of chunk 1 is back; from then on it runs a forward of one chunk together
// with a full backward of the other, in turn, and drains in the mirror image. Weight gradients are
// apart where a stage would else wait: beside the backwards of chunk 1 before the first pair, and
// in the last backwards, oldest first.
//
// The stage of the turn runs its first forward and backward one after the other: its neighbour
// waits for the forward.
#include <algorithm>
#include <array>
#include <deque>

#include "base/check.h"
#include "sim/pipeline/orders.h"

namespace moecast {
namespace {

// Takes each chunk's micro-batches in turn.
class Stage {
 public:
  explicit Stage(int micro_batches) : micro_batches_(micro_batches) {
    tasks_.reserve(6 * static_cast<size_t>(micro_batches));
  }

  void Forward(int16_t chunk) { tasks_.push_back({Phase::kForward, forwards_[chunk]++, chunk}); }
  void FullBackward(int16_t chunk) {
    tasks_.push_back({Phase::kFullBackward, backwards_[chunk]++, chunk});
  }
  void Backward(int16_t chunk) {
    weights_.push_back({Phase::kWeight, backwards_[chunk], chunk});
    tasks_.push_back({Phase::kBackward, backwards_[chunk]++, chunk});
  }
  void Weight() {
    tasks_.push_back(weights_.front());
    weights_.pop_front();
  }
  void Pair(int16_t forward, int16_t backward) {
    tasks_.push_back(
        {Phase::kForwardBackward, forwards_[forward]++, forward, backward, backwards_[backward]++});
  }
  std::vector<PipelineTask> Take() {
    for (const int chunk : {0, 1})
      MOECAST_CHECK(forwards_[chunk] == micro_batches_ && backwards_[chunk] == micro_batches_);
    MOECAST_CHECK(weights_.empty());
    return std::move(tasks_);
  }

 private:
  int micro_batches_;
  std::array<int32_t, 2> forwards_{}, backwards_{};
  std::deque<PipelineTask> weights_;
  std::vector<PipelineTask> tasks_;
};

}  // namespace

std::vector<PipelineTask> FoldedTasks(int stages, int stage, int micro_batches) {
  const int before_turn = stages - 1 - stage;
  Stage s(micro_batches);
  for (int i = 0; i < 2 * before_turn; ++i) s.Forward(0);
  for (int i = 0; i <= stage; ++i) {
    s.Forward(0);
    s.Forward(1);
  }
  for (int i = 0; i < before_turn; ++i) {
    s.Backward(1);
    s.Weight();
    s.Forward(1);
  }
  for (int i = 0; i < micro_batches - 2 * stages + stage + 1; ++i) {
    if (i == 0 && before_turn == 0) {
      s.Forward(0);
      s.FullBackward(1);
    } else {
      s.Pair(0, 1);
    }
    s.Pair(1, 0);
  }
  for (int i = 0; i < before_turn; ++i) {
    s.FullBackward(1);
    s.Pair(1, 0);
  }
  // Of the 2 (stage + 1) backwards left the latter half leaves its weight gradients for the end.
  for (int i = 0; i < 2 * (stage + 1); ++i) {
    const int16_t chunk = i % 2 == 0 ? 1 : 0;
    if (i <= stage)
      s.FullBackward(chunk);
    else
      s.Backward(chunk);
  }
  for (int i = 0; i < before_turn; ++i) {
    s.Weight();
    s.Backward(0);
  }
  for (int i = 0; i <= stage; ++i) s.Weight();
  return s.Take();
}

PipelineOrder DualPipeV(const PipelineShape& shape) {
  PipelineOrder order;
  for (int s = 0; s < shape.stages; ++s)
    order.by_stage.push_back(FoldedTasks(shape.stages, s, shape.micro_batches));
  LimitWeightDelay(shape, order);
  return order;
}

}  // namespace moecast
