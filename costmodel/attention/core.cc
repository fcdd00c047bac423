#include "costmodel/attention/core.h"

#include <algorithm>
#include <cmath>

namespace moecast {
namespace {

// Of this rank's heads, causal; phase and lengths are left.
AttentionQuery QueryOf(const BlockBuilder& b, const CoreHeads& h) {
  return {.heads = h.heads / b.tp,
          .kv_heads = std::max(1, h.kv_heads / b.tp),
          .qk_dim = h.qk_dim,
          .v_dim = h.v_dim,
          .batch = b.work.sequences,
          .causal = true,
          .form = h.form};
}

}  // namespace

double CoreFlops(const CoreHeads& h, const Attention& a, int64_t sequence, PairsCounted counted) {
  const double keys = counted == PairsCounted::kCausal ? MeanContext(a, sequence, sequence)
                                                       : static_cast<double>(sequence);
  return 2 * keys * h.heads * (h.qk_dim + h.v_dim);
}

void AddTrainingCore(BlockBuilder& b, const CoreHeads& h, std::vector<Op> again) {
  const Attention& a = b.model.attention;
  const int64_t sequence = b.work.tokens / b.work.sequences;
  AttentionQuery q = QueryOf(b, h);
  q.phase = AttentionPhase::kTrainForward;
  q.query = sequence / b.cp;
  q.context = sequence;
  // A context-parallel rank has two slices of the sequence, one from each end, so that causal work
  // is even: the average query meets half of the sequence, as it would at the end of a shorter one.
  if (b.cp > 1) q.context = (q.context + q.query) / 2;
  // A window: as many keys for every query as the average one meets.
  if (a.sliding_window > 0 && a.sliding_window < sequence) {
    q.context = std::llround(MeanContext(a, sequence, sequence));
    q.causal = false;
  }
  b.Forward({.name = OpName::kAttention, .query = q, .after = kSerial});
  q.phase = AttentionPhase::kTrainBackward;
  b.Backward({{.name = OpName::kAttention, .query = q, .after = kSerial}});
  b.Backward(std::move(again));
  // Log-sum-exp in fp32. The output is kept by the output projection, whose input it is.
  b.KeepUntilBackward(OpName::kAttention, TensorName::kLogSumExp,
                      b.tokens * h.heads / b.tp * BlockBuilder::kFp32);
}

void AddServingCore(BlockBuilder& b, const CoreHeads& h, const Work& part) {
  const int window = b.model.attention.sliding_window;
  AttentionQuery q = QueryOf(b, h);
  q.batch = part.sequences;
  q.query = MeanQueries(part);
  q.context = MeanKeys(part);
  q.kv_dtype = b.shard.kv_bits > 8 ? Dtype::kBf16 : Dtype::kFp8;
  if (part.pass == Pass::kDecode) {
    q.phase = AttentionPhase::kDecode;
    q.causal = false;
    if (window > 0) q.context = std::min<int64_t>(q.context, window);
  } else {
    q.phase = AttentionPhase::kPrefill;
    if (window > 0 && window < q.context) {
      q.context = std::llround(MeanContext(b.model.attention, q.query, q.context));
      q.causal = false;
    }
  }
  b.Forward({.name = OpName::kAttention, .query = q, .after = kSerial});
}

int64_t MeanQueries(const Work& work) {
  return std::max<int64_t>(
      1, std::llround(static_cast<double>(work.tokens) / static_cast<double>(work.sequences)));
}

// The queries of a sequence meet context - queries + 1 ... context keys, (context - (queries - 1) /
// 2) on average.
int64_t MeanKeys(const Work& work) {
  const auto tokens = static_cast<double>(work.tokens);
  const double queries = tokens / static_cast<double>(work.sequences);
  return std::llround(static_cast<double>(work.query_key_pairs) / tokens + (queries - 1) / 2);
}

void AddOutputProjection(BlockBuilder& b, const CoreHeads& h) {
  b.Multiply({.name = OpName::kOutput,
              .m = b.tokens,
              .n = static_cast<double>(b.model.hidden),
              .k = static_cast<double>(h.heads) / b.tp * h.v_dim,
              .tp = TpSide::kRow,
              .dtype = b.shard.precision.gemm});
}

void AddContextGather(BlockBuilder& b, double elements) {
  if (b.cp == 1) return;
  const double bytes = elements * BlockBuilder::kBf16;
  b.Forward(BlockBuilder::Collective(OpName::kCpGather, CollectiveKind::kAllGather, GroupKind::kCp,
                                     bytes));
  b.Backward({BlockBuilder::Collective(OpName::kCpScatter, CollectiveKind::kReduceScatter,
                                       GroupKind::kCp, bytes)});
}

}  // namespace moecast
