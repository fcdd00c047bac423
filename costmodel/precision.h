// Number formats of what a rank computes, sends and holds. Plain data; the Fields table documents
// every member.
#pragma once

#include <optional>
#include <tuple>

#include "base/dtype.h"
#include "base/fields_fwd.h"

namespace moecast {

struct Precision {
  Dtype gemm = Dtype::kBf16;
  Dtype dispatch = Dtype::kBf16;
  Dtype combine = Dtype::kBf16;
  Dtype saved_activations = Dtype::kBf16;
  Dtype saved_swiglu = Dtype::kBf16;
  std::optional<Dtype> weights;
  Dtype main_grad = Dtype::kFp32;
  Dtype grad_reduce = Dtype::kBf16;
  Dtype master = Dtype::kFp32;
  Dtype moments = Dtype::kFp32;

  Dtype weight_format() const { return weights.value_or(gemm); }
  bool operator==(const Precision&) const = default;
};
inline auto MembersOf(const Precision& precision) {
  const auto& [gemm, dispatch, combine, saved_activations, saved_swiglu, weights, main_grad,
               grad_reduce, master, moments] = precision;
  return std::tie(gemm, dispatch, combine, saved_activations, saved_swiglu, weights, main_grad,
                  grad_reduce, master, moments);
}
const Fields<Precision>& FieldsOf(const Precision*);

}  // namespace moecast
