#include "costmodel/precision.h"

#include "base/fields.h"

namespace moecast {

const Fields<Precision>& FieldsOf(const Precision*) {
  static const Fields<Precision> fields(
      "precision",
      {
          Row("gemm", &Precision::gemm,
              "operands of the linear layers and experts (attention and router stay in bf16)"),
          Row("dispatch", &Precision::dispatch, "tokens on their way to the experts"),
          Row("combine", &Precision::combine, "expert outputs on their way back"),
          Row("saved_activations", &Precision::saved_activations,
              "inputs of linear layers kept for the weight gradients"),
          Row("saved_swiglu", &Precision::saved_swiglu,
              "inputs of the MLPs' and experts' activation function kept for its backward pass"),
          Row("weights", &Precision::weights,
              "weights as a rank holds and gathers them; absent: the GEMM format. Where GEMMs take "
              "FP8 and this is wider, FP8 copies are made every step and held too"),
          Row("main_grad", &Precision::main_grad,
              "buffer that gradients are summed into over micro-batches"),
          Row("grad_reduce", &Precision::grad_reduce,
              "gradients on the wire between data-parallel ranks"),
          Row("master", &Precision::master, "the optimizer's copy of the weights"),
          Row("moments", &Precision::moments, "each of AdamW's two moments"),
      });
  return fields;
}

}  // namespace moecast
