#include "costmodel/memory.h"

namespace moecast {
namespace {

// Ranks over which the states of a parameter are cut.
struct Shards {
  double data, expert;
};
Shards ShardsFrom(const Plan& plan, int zero_stage, int copies) {
  if (plan.parallel.zero < zero_stage) return {1, 1};
  const double each = static_cast<double>(plan.parallel.cp) * copies;
  return {plan.parallel.dp * each, plan.parallel.edp() * each};
}

double Cut(const BlockParameters& p, const Shards& s) {
  return p.data / s.data + p.expert / s.expert;
}

// Weights in bf16 are their own master copy where that is bf16.
bool HasMaster(const Precision& p) {
  return p.master != Dtype::kBf16 || p.gemm != Dtype::kBf16;
}

}  // namespace

StateBytes& StateBytes::operator+=(const StateBytes& o) {
  weights += o.weights;
  gradients += o.gradients;
  optimizer += o.optimizer;
  return *this;
}

StateBytes StatesOf(const BlockParameters& parameters, const Plan& plan, int copies) {
  const Precision& p = plan.precision;
  return {Bytes(Cut(parameters, ShardsFrom(plan, 3, copies)) * ElementBytes(p.gemm)),
          Bytes(Cut(parameters, ShardsFrom(plan, 2, copies)) * ElementBytes(p.main_grad)),
          Bytes(OptimizedParameters(parameters, plan, copies) *
                ((HasMaster(p) ? ElementBytes(p.master) : 0) + 2 * ElementBytes(p.moments)))};
}

double OptimizedParameters(const BlockParameters& parameters, const Plan& plan, int copies) {
  return Cut(parameters, ShardsFrom(plan, 1, copies));
}

double AdamBytes(const Precision& p) {
  return ElementBytes(p.main_grad) + 2 * ElementBytes(p.master) + 4 * ElementBytes(p.moments) +
         (HasMaster(p) ? ElementBytes(p.gemm) : 0);
}

}  // namespace moecast
