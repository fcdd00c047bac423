#include "sim/training/step_draws.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "base/check.h"
#include "sim/training/step_time.h"

namespace moecast {
namespace {

constexpr size_t kTogether = Retimer::kTogether;
using Totals = std::array<Seconds, kTogether>;

// What draws need of the cost of an op.
struct DrawnOp {
  Seconds time;
  double sigma_table;
  double sigma_curve;  // 0 where there are no draws of curves, so the next
  double sigma_own;
  SourceId source;
  uint32_t curve;  // place among the dimensions of curves
  Lattice::Dimension own;
};

class DrawnStep {
 public:
  // With the lattices of `like`.
  DrawnStep(const Step& step, const Noise& like) : step_(step), like_(like) {
    const StepBlocks& blocks = step.blocks;
    begins_.resize(static_cast<size_t>(blocks.size()));
    for (int32_t id = 0; id < blocks.size(); ++id) {
      const StepBlock* block = blocks.Find(id);
      begins_[id] = ops_.size();
      if (!block || IsKnown(id) || !block->parts.empty()) continue;
      for (size_t i = 0; i < block->costed.costs.size(); ++i)
        Add(block->costed.costs[i], block->position + i);
    }
    totals_.resize(begins_.size());
    times_.resize(ops_.size());
  }

  // The times of up to kTogether draws.
  void Time(std::span<const Noise> draws, Seconds* out) {
    for (size_t k = 0; k < draws.size(); ++k) Solve(draws[k], k);
    for (Totals& totals : totals_)
      std::fill(totals.begin() + static_cast<ptrdiff_t>(draws.size()), totals.end(), totals[0]);
    const TrainingSchedule& schedule = step_.schedule();
    durations_.clear();
    for (const Program& program : schedule.programs) {
      Totals total{};
      for (const ProgramStep& part : program)
        for (size_t k = 0; k < kTogether; ++k) total[k] += totals_[part.block][k] * part.times;
      durations_.push_back(Rounded(total));
    }
    const Retimer::Times transfer[] = {Rounded(totals_[BlockIds::kSend])};
    FindLonger();
    step_.order->retimer.RunTogether(durations_, transfer, end_, longer_);
    for (size_t k = 0; k < draws.size(); ++k) {
      const StepSpan span = SpanOf(step_, TimingOf{{*this, k}, {*this, k}});
      out[k] = (span.end - span.begin).seconds() * step_.stretch *
               std::exp(draws[k].whole_step * step_.run->whole_step.sigma);
    }
  }

 private:
  // A draw's part of the timing, by task.
  struct Ends {
    const DrawnStep& of;
    size_t k;
    moecast::Time operator[](int32_t task) const { return of.end_[task][k]; }
  };
  struct Starts {
    const DrawnStep& of;
    size_t k;
    moecast::Time operator[](int32_t task) const {
      const moecast::Time took = of.durations_[of.step_.schedule().program_of[task]][k];
      const moecast::Time start = of.end_[task][k] - took;
      return of.longer_.empty() ? start : start - of.longer_[task][k];
    }
  };
  struct TimingOf {
    Starts start;
    Ends end;
  };

  // Stages that hold alike share the blocks that they update with.
  bool IsKnown(int32_t id) const {
    const int32_t before = id - 2;
    return before >= BlockIds::kFirstOfStages && step_.blocks.Find(before) == step_.blocks.Find(id);
  }

  void Add(const Cost& cost, uint64_t position) {
    DrawnOp op{.time = cost.time,
               .sigma_table = cost.sigma_table,
               .sigma_curve = like_.curves ? cost.sigma_curve : 0,
               .sigma_own = like_.own ? cost.sigma_own : 0,
               .source = cost.source,
               .curve = 0,
               .own = {}};
    if (op.sigma_curve > 0) {
      const auto [known, is_new] =
          curve_of_.try_emplace(cost.curve, static_cast<uint32_t>(curves_.size()));
      if (is_new) curves_.push_back(like_.curves->KeyedDimension(cost.curve));
      op.curve = known->second;
    }
    if (op.sigma_own > 0) op.own = like_.own->KeyedDimension(position * 0x9e3779b97f4a7c15ULL);
    ops_.push_back(op);
  }

  // The totals of all blocks in one draw.
  void Solve(const Noise& noise, size_t k) {
    MOECAST_CHECK(noise.curves == like_.curves && noise.own == like_.own);
    const uint32_t reversed = Lattice::Reversed(noise.draw);
    of_curve_.clear();
    for (const Lattice::Dimension& curve : curves_)
      of_curve_.push_back(NormalQuantile(Lattice::Point(reversed, curve)));
    for (size_t i = 0; i < ops_.size(); ++i) {
      const DrawnOp& op = ops_[i];
      double shift = noise.by_source[op.source] * op.sigma_table;
      if (op.sigma_curve > 0) shift += of_curve_[op.curve] * op.sigma_curve;
      if (op.sigma_own > 0)
        shift += NormalQuantile(Lattice::Point(reversed, op.own)) * op.sigma_own;
      times_[i] = op.time * std::exp(shift);
    }
    const StepBlocks& blocks = step_.blocks;
    for (int32_t id = 0; id < blocks.size(); ++id) {
      const StepBlock* block = blocks.Find(id);
      if (!block)
        totals_[id][k] = {};
      else if (IsKnown(id))
        totals_[id][k] = totals_[id - 2][k];
      else
        totals_[id][k] = TotalOf(*block, TimesOf(id, *block));
    }
  }

  // By op. Ops of a pair take the times of those of its parts.
  std::span<const Seconds> TimesOf(int32_t id, const StepBlock& block) {
    if (block.parts.empty()) return std::span(times_).subspan(begins_[id]);
    of_parts_.clear();
    for (const int32_t part : block.parts) {
      const auto begin = times_.begin() + static_cast<ptrdiff_t>(begins_[part]);
      of_parts_.insert(of_parts_.end(), begin,
                       begin + static_cast<ptrdiff_t>(step_.blocks[part].costed.ops.size()));
    }
    return of_parts_;
  }

  void FindLonger() {
    longer_.clear();
    for (const ExcessOfTask& excess : step_.excess) {
      Retimer::Times& longer = longer_.emplace_back();
      for (size_t k = 0; k < kTogether; ++k) {
        std::array<Seconds, kPasses> of_passes;
        for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
          of_passes[static_cast<size_t>(pass)] = totals_[BlockIds::Of(BlockKind::kMoe, pass)][k];
        longer[k] = RoundedLonger(Longer(excess, of_passes));
      }
    }
  }

  static Retimer::Times Rounded(const Totals& totals) {
    Retimer::Times times;
    for (size_t k = 0; k < kTogether; ++k) times[k] = moecast::Time::From(totals[k]);
    return times;
  }

  const Step& step_;
  const Noise& like_;
  std::vector<DrawnOp> ops_;    // of all blocks one after another
  std::vector<size_t> begins_;  // by block: where its ops do
  std::unordered_map<uint64_t, uint32_t> curve_of_;
  std::vector<Lattice::Dimension> curves_;
  // Of one draw.
  std::vector<double> of_curve_;
  std::vector<Seconds> times_, of_parts_;  // by op
  // Of kTogether.
  std::vector<Totals> totals_;  // by block
  std::vector<Retimer::Times> durations_, longer_, end_;
};

}  // namespace

std::vector<Seconds> StepTimes(const Step& step, std::span<const Noise> draws) {
  std::vector<Seconds> times(draws.size());
  if (draws.empty()) return times;
  DrawnStep drawn(step, draws.front());
  for (size_t i = 0; i < draws.size(); i += kTogether)
    drawn.Time(draws.subspan(i, std::min(kTogether, draws.size() - i)), &times[i]);
  return times;
}

}  // namespace moecast
