// How long an iteration of serving takes: the ops of its work on one rank, costed as a training
// micro-batch's are and solved as blocks. What repeats is found once: everything but attention by
// the number of new tokens, attention of decodes by their number and mean context.
//
// In a replica whose dp ranks go through the layers in step, the rank that computes longest is
// waited for at each exchange, and its experts take the mean of what all ranks send.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "costmodel/layer_ops.h"
#include "costmodel/op_cost.h"
#include "sim/engine/block.h"
#include "sim/serving/scheduler.h"

namespace moecast {

// What a rank's iteration does, and the mean of new tokens over the ranks of its replica.
struct IterationWork {
  Work prefill{.pass = Pass::kPrefill};
  Work decode{.pass = Pass::kDecode};
  double mean_tokens = 0;

  int64_t tokens() const { return prefill.tokens + decode.tokens; }
  int64_t sequences() const { return prefill.sequences + decode.sequences; }
};

class IterationCosts {
 public:
  // `load` is of ranks with equal numbers of tokens; `drafts` by the model's MTP module, of each
  // decoding sequence. `model` and `costs` outlive this.
  IterationCosts(const Model& model, const ShardPlan& shard, const ExpertLoad& load, int drafts,
                 const OpCosts& costs);

  // REQUIRES: a token. All layers, embedding, head and sampling; not the engine's own overhead.
  BlockTime Of(const IterationWork& work);
  // The same from all its ops, with nothing looked up: what Of must come to.
  BlockTime Direct(const IterationWork& work) const;
  // Standard deviation of ln(time) by the errors of the costs it is made of, of which those of one
  // source, curve or op go together.
  double Sigma(const IterationWork& work) const;
  // Of the time of all ops, that of costs beyond what was measured.
  double ExtrapolatedFraction(const IterationWork& work) const;

  // The blocks of the model with how often each runs, and a block's ops. The MTP module runs once
  // over all new tokens, which makes the first draft, then over one of each decoding sequence for
  // each further draft.
  struct Piece {
    BlockKind kind;
    int count;
    bool drafts_on = false;  // the latter
  };
  const std::vector<Piece>& pieces() const { return pieces_; }
  // Nothing where the piece has nothing to do.
  CostedOps OpsIn(const Piece& piece, const IterationWork& work) const;
  static BlockTime TimeOf(const CostedOps& block);
  const CostSources& sources() const { return *costs_.sources(); }

 private:
  ExpertLoad LoadOf(const IterationWork& work) const;
  BlockTime SolvedOf(BlockKind kind, std::span<const Work> parts) const;
  BlockTime AttentionOf(const Work& part) const;
  // Between two knots of the mean: from `at` on `above`, `below` right before; 0: no step.
  struct Step {
    double at = 0;
    BlockTime below, above;
  };
  BlockTime RestOf(int64_t tokens, double mean_tokens, bool drafts_on);
  const BlockTime& RestAt(int64_t tokens, int64_t knot, bool drafts_on);
  const Step& StepAt(int64_t tokens, int64_t knot, bool drafts_on);
  BlockTime Rest(int64_t tokens, double mean_tokens, bool drafts_on);
  BlockTime Decode(const Work& part);
  const BlockTime& HeadOf(int64_t rows);

  const Model& model_;
  ShardPlan shard_;
  ExpertLoad load_;
  const OpCosts& costs_;
  std::vector<Piece> pieces_;
  int drafts_;
  int layers_ = 0;  // that attend, an MTP module's among them
  // Of all pieces and of those that draft on: by tokens and knot.
  std::array<std::unordered_map<uint64_t, BlockTime>, 2> rest_;
  std::array<std::unordered_map<int64_t, BlockTime>, 2> alike_;  // by tokens, whatever the mean
  std::array<std::unordered_map<uint64_t, Step>, 2> steps_;      // by tokens and the knot below
  std::vector<std::optional<BlockTime>> heads_;                  // by rows
  // Of one query and of the drafts' too: by sequences, then knot.
  std::array<std::vector<std::vector<std::optional<BlockTime>>>, 2> decode_;
};

}  // namespace moecast
