#include "costmodel/op.h"

namespace moecast {
namespace {

struct FlopsVisitor {
  double operator()(const GemmQuery& q) const {
    return 2.0 * static_cast<double>(q.m) * static_cast<double>(q.n) * static_cast<double>(q.k);
  }
  double operator()(const GroupedGemmQuery& q) const {
    return 2.0 * static_cast<double>(q.rows_total) * static_cast<double>(q.n) * static_cast<double>(q.k);
  }
  double operator()(const AttentionQuery& q) const {
    const double query = static_cast<double>(q.query), context = static_cast<double>(q.context);
    const double pairs = q.causal ? query * (context - query / 2) : query * context;
    const double forward =
        2.0 * static_cast<double>(q.batch * q.heads) * pairs * static_cast<double>(q.qk_dim + q.v_dim);
    return q.phase == AttentionPhase::kTrainBackward ? 2.5 * forward : forward;
  }
  double operator()(const ElementwiseQuery&) const { return 0; }
  double operator()(const CollectiveQuery&) const { return 0; }
};

}  // namespace

Flops FlopsOf(const Op& op) {
  return Flops(std::visit(FlopsVisitor{}, op.query));
}

}  // namespace moecast
