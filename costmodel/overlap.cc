#include "costmodel/overlap.h"

#include "base/fields.h"

namespace moecast {

const Fields<Overlap>& FieldsOf(const Overlap*) {
  static const Fields<Overlap> fields(
      "overlap",
      {
          Row("shared_experts", &Overlap::shared_experts,
              "shared experts compute while the all-to-all runs"),
          Row("tp", &Overlap::tp,
              "tensor-parallel all-gather and reduce-scatter run chunk by chunk with their GEMM"),
          Row("grad_reduce", &Overlap::grad_reduce,
              "a layer's gradients are reduced while earlier layers still compute theirs"),
          Row("param_gather", &Overlap::param_gather,
              "updated weights are gathered while the next step's first forward runs"),
          Row("offload", &Overlap::offload,
              "with offloaded optimizer states: gradients on their way to the host, Adam there and "
              "on the device, and weights on their way back run at the same time, bucket by "
              "bucket"),
          Row("communication_sms", &Overlap::communication_sms,
              "SMs a collective takes from the kernels that run beside it; fewer than the device "
              "has",
              {.low = 0, .high = 4096}),
      });
  return fields;
}

}  // namespace moecast
