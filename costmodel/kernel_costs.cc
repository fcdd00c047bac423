#include "costmodel/kernel_costs.h"

#include "base/check.h"
#include "base/mixer.h"

namespace moecast {
namespace {

struct HashOf {
  size_t operator()(const GemmQuery& q) const {
    return Mixer()(q.m, q.n, q.k, q.dtype, q.pass, q.main_grad, q.sms);
  }
  size_t operator()(const GroupedGemmQuery& q) const {
    return Mixer()(q.groups, q.rows_total, q.n, q.k, q.dtype, q.pass, q.main_grad, q.sms,
                   q.batched);
  }
  size_t operator()(const AttentionQuery& q) const {
    return Mixer()(q.phase, q.heads, q.kv_heads, q.qk_dim, q.v_dim, q.batch, q.query, q.context,
                   q.causal, q.dtype, q.kv_dtype, q.form);
  }
  size_t operator()(const ElementwiseQuery& q) const { return Mixer()(q.kind, q.bytes.value); }
  size_t operator()(const CollectiveQuery& q) const {
    return Mixer()(q.kind, q.group, q.bytes.value);
  }
  size_t operator()(const HostQuery& q) const { return Mixer()(q.work, q.bytes.value); }
  size_t operator()(const MlaDecodeQuery& q) const {
    return Mixer()(q.heads, q.batch, q.context, q.kv_bits, q.latent.qk, q.latent.v);
  }
};

struct Estimate {
  const Calibration& calibration;
  Cost operator()(const GemmQuery& q) const { return calibration.Gemm(q); }
  Cost operator()(const GroupedGemmQuery& q) const { return calibration.GroupedGemm(q); }
  Cost operator()(const AttentionQuery& q) const { return calibration.Attention(q); }
  Cost operator()(const ElementwiseQuery& q) const {
    return calibration.Elementwise(q.kind, q.bytes);
  }
  Cost operator()(const MlaDecodeQuery& q) const { return calibration.MlaDecode(q); }
  Cost operator()(const CollectiveQuery&) const { MOECAST_CHECK(false); }
  Cost operator()(const HostQuery&) const { MOECAST_CHECK(false); }
};

}  // namespace

size_t KernelCosts::Hash::operator()(const OpQuery& query) const {
  return std::visit(HashOf{}, query) * 8 + query.index();
}

const Cost& KernelCosts::Of(const OpQuery& query) {
  const auto found = known_.find(query);
  if (found != known_.end()) return found->second;
  return known_.emplace(query, std::visit(Estimate{calibration_}, query)).first->second;
}

}  // namespace moecast
