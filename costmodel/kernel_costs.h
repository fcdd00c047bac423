// Costs of kernels, each distinct one estimated once: plans of one model share most of their
// shapes. Several threads may ask at once.
#pragma once

#include <cstddef>
#include <tuple>

#include "base/memo.h"
#include "costmodel/calibration/calibration.h"
#include "costmodel/op.h"

namespace moecast {

inline auto MembersOf(const GemmQuery& query) {
  const auto& [m, n, k, dtype, pass, main_grad, sms] = query;
  return std::tie(m, n, k, dtype, pass, main_grad, sms);
}
inline auto MembersOf(const GroupedGemmQuery& query) {
  const auto& [groups, rows_total, n, k, dtype, pass, main_grad, sms, batched] = query;
  return std::tie(groups, rows_total, n, k, dtype, pass, main_grad, sms, batched);
}
inline auto MembersOf(const AttentionQuery& query) {
  const auto& [phase, heads, kv_heads, qk_dim, v_dim, batch, tokens, context, causal, dtype,
               kv_dtype, form] = query;
  return std::tie(phase, heads, kv_heads, qk_dim, v_dim, batch, tokens, context, causal, dtype,
                  kv_dtype, form);
}
inline auto MembersOf(const ElementwiseQuery& query) {
  const auto& [kind, bytes] = query;
  return std::tie(kind, bytes);
}
inline auto MembersOf(const CollectiveQuery& query) {
  const auto& [kind, group, bytes, algorithm] = query;
  return std::tie(kind, group, bytes, algorithm);
}
inline auto MembersOf(const HostQuery& query) {
  const auto& [work, bytes] = query;
  return std::tie(work, bytes);
}
inline auto MembersOf(const HeadSizes& sizes) {
  const auto& [qk, v] = sizes;
  return std::tie(qk, v);
}
inline auto MembersOf(const MlaDecodeQuery& query) {
  const auto& [heads, batch, context, kv_bits, latent] = query;
  return std::tie(heads, batch, context, kv_bits, latent);
}

class KernelCosts {
 public:
  // `calibration` outlives this.
  explicit KernelCosts(const Calibration& calibration) : calibration_(calibration) {}

  const Calibration& calibration() const { return calibration_; }
  // REQUIRES: the query is no collective.
  Cost Of(const OpQuery& query) const;

 private:
  static constexpr size_t kMostKnown = size_t{1} << 15;  // some 300 bytes each

  const Calibration& calibration_;
  mutable Memo<OpQuery, Cost> known_{kMostKnown};
};

}  // namespace moecast
