#include "costmodel/memory.h"

namespace moecast {
namespace {

// Ranks over which the states of a parameter are cut.
struct Shards {
  double data, expert;
};
Shards ShardsFrom(const ShardPlan& shard, int zero_stage, int model_copies) {
  if (shard.zero < zero_stage) return {1, 1};
  const double each = static_cast<double>(shard.cp) * model_copies;
  return {shard.dp * each, shard.edp() * each};
}

double Cut(const BlockParameters& p, const Shards& s) {
  return p.data / s.data + p.expert / s.expert;
}

// Weights in bf16 are their own master copy where that is bf16.
bool HasMaster(const Precision& p) {
  return p.master != Dtype::kBf16 || p.weight_format() != Dtype::kBf16;
}

}  // namespace

StateBytes& StateBytes::operator+=(const StateBytes& o) {
  weights += o.weights;
  gradients += o.gradients;
  master += o.master;
  moments += o.moments;
  host += o.host;
  return *this;
}

StateBytes StatesOf(const BlockParameters& parameters, const ShardPlan& shard, int model_copies) {
  const Precision& p = shard.precision;
  const double updated = OptimizedParameters(parameters, shard, model_copies);
  const double on_host = updated * shard.optimizer_offload;
  const double on_device = updated - on_host;
  const double weight = ElementBytes(p.weight_format());
  const double master = ElementBytes(p.master);
  const double moments = 2 * ElementBytes(p.moments);
  // The host updates a master copy whatever the format, from gradients copied there.
  const double host = master + moments + ElementBytes(p.main_grad) + (HasMaster(p) ? weight : 0);
  return {.weights = Bytes(Cut(parameters, ShardsFrom(shard, 3, model_copies)) *
                           (weight + WeightCopyBytes(p))),
          .gradients = Bytes(Cut(parameters, ShardsFrom(shard, 2, model_copies)) *
                             ElementBytes(p.main_grad)),
          .master = Bytes(HasMaster(p) ? on_device * master : 0),
          .moments = Bytes(on_device * moments),
          .host = Bytes(on_host * host)};
}

double OptimizedParameters(const BlockParameters& parameters, const ShardPlan& shard,
                           int model_copies) {
  return Cut(parameters, ShardsFrom(shard, 1, model_copies));
}

double AdamBytes(const Precision& p) {
  return ElementBytes(p.main_grad) + 2 * ElementBytes(p.master) + 4 * ElementBytes(p.moments) +
         (HasMaster(p) ? ElementBytes(p.weight_format()) : 0);
}

double WeightCopyBytes(const Precision& p) {
  const bool quantises = p.gemm == Dtype::kFp8 || p.gemm == Dtype::kFp8Block;
  return quantises && p.weight_format() != p.gemm ? ElementBytes(p.gemm) : 0;
}

}  // namespace moecast
