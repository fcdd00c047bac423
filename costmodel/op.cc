#include "costmodel/op.h"

#include <utility>

#include "costmodel/calibration/gemm_model.h"
#include "costmodel/calibration/table_kinds.h"
#include "costmodel/causal_pairs.h"

namespace moecast {
namespace {

double D(int64_t n) {
  return static_cast<double>(n);
}

AttentionWork WorkOf(const AttentionQuery& q) {
  return {D(q.heads), D(q.kv_heads), D(q.qk_dim), D(q.v_dim), D(q.batch),
          D(q.query), D(q.context),  q.causal,    false,      ElementBytes(q.kv_dtype)};
}
// The backward pass computes the scores again and four more products of their size (arXiv
// 2205.14135).
double PassesOf(const AttentionQuery& q) {
  return q.phase == AttentionPhase::kTrainBackward ? 2.5 : 1;
}

struct FlopsVisitor {
  double operator()(const GemmQuery& q) const { return 2 * D(q.m) * D(q.n) * D(q.k); }
  double operator()(const GroupedGemmQuery& q) const {
    return 2 * D(q.rows_total) * D(q.n) * D(q.k);
  }
  // The convention of published flops: half of the square of a sequence that attends to itself,
  // which counts the diagonal half where a kernel, and CausalPairs, have it whole.
  double operator()(const AttentionQuery& q) const {
    const double query = D(q.query);
    const double context = D(q.context);
    const double pairs = q.causal ? CausalPairs(query, context) - query / 2 : query * context;
    return PassesOf(q) * 2 * D(q.batch * q.heads) * pairs * D(q.qk_dim + q.v_dim);
  }
  double operator()(const MlaDecodeQuery& q) const { return WorkOf(q).flops(); }
  double operator()(const ElementwiseQuery&) const { return 0; }
  double operator()(const CollectiveQuery&) const { return 0; }
  double operator()(const HostQuery&) const { return 0; }
};

struct BytesVisitor {
  double operator()(const GemmQuery& q) const {
    GemmShape shape{q.m, q.n, q.k, 1, q.dtype};
    if (q.pass == GemmPass::kDgrad) std::swap(shape.n, shape.k);
    if (q.pass == GemmPass::kWgrad)
      shape = {q.n, q.k, q.m, 1, q.dtype, 2 * ElementBytes(q.main_grad)};
    return shape.bytes();
  }
  double operator()(const GroupedGemmQuery& q) const {
    const double weights = D(q.groups) * D(q.n) * D(q.k), element = ElementBytes(q.dtype);
    switch (q.pass) {
      case GemmPass::kForward:
        return weights * element + D(q.rows_total) * (D(q.k) * element + 2 * D(q.n));
      case GemmPass::kDgrad:
        return weights * element + D(q.rows_total) * (D(q.n) * element + 2 * D(q.k));
      case GemmPass::kWgrad:
        return weights * 2 * ElementBytes(q.main_grad) +
               D(q.rows_total) * (D(q.n) + D(q.k)) * element;
    }
    return 0;
  }
  double operator()(const AttentionQuery& q) const { return PassesOf(q) * WorkOf(q).bytes(); }
  double operator()(const MlaDecodeQuery& q) const { return WorkOf(q).bytes(); }
  double operator()(const ElementwiseQuery& q) const { return q.bytes.value; }
  double operator()(const CollectiveQuery& q) const { return q.bytes.value; }
  double operator()(const HostQuery& q) const { return q.bytes.value; }
};

}  // namespace

Flops FlopsOf(const OpQuery& query) {
  return Flops(std::visit(FlopsVisitor{}, query));
}
Bytes BytesOf(const OpQuery& query) {
  return Bytes(std::visit(BytesVisitor{}, query));
}

}  // namespace moecast
