#include "costmodel/kernel_costs.h"

#include "base/check.h"

namespace moecast {
namespace {

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

Cost KernelCosts::Of(const OpQuery& query) const {
  return *known_.Get(query, [&] { return std::visit(Estimate{calibration_}, query); });
}

}  // namespace moecast
