// How long an iteration of serving takes: the ops of its work on one rank, costed as a training
// micro-batch's are and solved as blocks. What repeats is found once: everything but attention by
// the number of new tokens, attention of decodes by their number and mean context.
//
// In a replica whose dp ranks go through the layers in step, the rank that computes longest is
// waited for at each exchange, and its experts take the mean of what all ranks send.
//
// An iteration in halves (dual batch overlap) goes through its layers with experts as two of half
// the sequences, each of which computes while tokens of the other travel; an odd one counts in
// both. All else is done once.
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
#include "sim/routing/rank_loads.h"
#include "sim/serving/deployment.h"
#include "sim/serving/scheduler.h"
#include "sim/serving/serving_memory.h"

namespace moecast {

// What a rank's iteration does, and the mean of new tokens over the ranks of its replica.
struct IterationWork {
  Work prefill{.pass = Pass::kPrefill};
  Work decode{.pass = Pass::kDecode};
  double mean_tokens = 0;
  bool halved = false;

  int64_t tokens() const { return prefill.tokens + decode.tokens; }
  int64_t sequences() const { return prefill.sequences + decode.sequences; }
};

class IterationCosts {
 public:
  // `drafts` by the model's MTP module, of each decoding sequence. `model` and `costs` outlive
  // this. REQUIRES: with several stages no drafts.
  IterationCosts(const Model& model, const ShardPlan& shard, RankLoads loads, int drafts,
                 std::vector<ServingStage> stages, const OpCosts& costs);

  // REQUIRES: a token. All layers, embedding, head and sampling, of several stages what is sent
  // from one to the next; not the engine's own overhead.
  BlockTime Of(const IterationWork& work);
  int stages() const { return static_cast<int>(stages_.size()); }
  BlockTime OfStage(const IterationWork& work, int stage);
  // From a stage to the next, of what a rank computes.
  Seconds SendOf(const IterationWork& work);
  // The same from all its ops, with nothing looked up: what Of must come to.
  BlockTime Direct(const IterationWork& work);
  // Kernels that a rank's GPU runs, collectives among them.
  int KernelsOf(const IterationWork& work);
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
    int stage = 0;
  };
  const std::vector<Piece>& pieces() const { return pieces_; }
  // Nothing where the piece has nothing to do; of a block in halves those of both.
  CostedOps OpsIn(const Piece& piece, const IterationWork& work) const;
  // Of one run of a piece alone.
  static BlockTime TimeOf(const CostedOps& block);
  const CostSources& sources() const { return *costs_.sources(); }

 private:
  // What the table has of an iteration, without attention and head: all pieces, those that draft
  // on, or all but the layers that go in halves; and these, with attention of `attention` knots of
  // kLeastAttention in each half, of prompts or of decodes.
  enum class Rows : uint8_t { kAll, kDraftsOn, kUndivided, kHalvesOfPrompts, kHalvesOfDecodes };
  struct Key {
    int stage;
    Rows rows;
    int64_t tokens;  // of a half where it is of halves
    int64_t attention = 0;
    uint64_t With(int64_t knot) const;
  };
  static bool OfHalves(Rows rows) { return rows >= Rows::kHalvesOfPrompts; }
  bool Has(int stage, Rows rows, const Piece& piece) const;
  // Layers of it that attend, an MTP module's among them.
  int Attend(int stage, Rows rows) const {
    return attend_[static_cast<size_t>(stage)][static_cast<size_t>(rows)];
  }
  // Between two knots of the mean: from `at` on `above`, `below` right before; 0: no step.
  struct Step {
    double at = 0;
    BlockTime below, above;
  };

  ExpertLoad LoadOf(const IterationWork& work) const;
  CostedOps CostedOf(BlockKind kind, std::span<const Work> parts, bool overlaps = false) const;
  BlockTime AttentionOf(const Work& part) const;
  Work AttendsFor(Seconds time, Pass pass, int64_t tokens) const;
  BlockTime HalvesOf(const Key& key, double mean_tokens);
  BlockTime RestOf(const Key& key, double mean_tokens);
  const BlockTime& RestAt(const Key& key, int64_t knot);
  const Step& StepAt(const Key& key, int64_t knot);
  BlockTime Rest(const Key& key, double mean_tokens);
  BlockTime Halves(const IterationWork& half, int stage);
  BlockTime Attention(const IterationWork& work);
  BlockTime Decode(const Work& part);
  const BlockTime& HeadOf(int64_t rows);

  const Model& model_;
  ShardPlan shard_;
  RankLoads loads_;
  const OpCosts& costs_;
  std::vector<ServingStage> stages_;
  std::vector<Piece> pieces_;
  int drafts_;
  std::unordered_map<int64_t, Seconds> sends_;  // by tokens
  // By Rows.
  static constexpr size_t kRows = 5;
  std::vector<std::array<int, kRows>> attend_;                        // by stage
  std::array<std::unordered_map<uint64_t, BlockTime>, kRows> rest_;   // by Key and knot
  std::array<std::unordered_map<uint64_t, BlockTime>, kRows> alike_;  // by Key, for any mean
  std::array<std::unordered_map<uint64_t, Step>, kRows> steps_;       // by Key and the knot below
  std::vector<std::optional<BlockTime>> heads_;                       // by rows
  std::array<std::optional<int>, 8> kernels_;                         // by what an iteration has
  // Of one query and of the drafts' too: by sequences, then knot.
  std::array<std::vector<std::vector<std::optional<BlockTime>>>, 2> decode_;
};

}  // namespace moecast
