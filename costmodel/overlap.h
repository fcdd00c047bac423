// What runs at the same time on a rank. Plain data; the Fields table documents every member.
#pragma once

#include <tuple>

#include "base/fields_fwd.h"

namespace moecast {

struct Overlap {
  bool shared_experts = true;
  bool tp = true;
  bool grad_reduce = true;
  bool param_gather = true;
  bool offload = true;
  int communication_sms = 20;
  bool operator==(const Overlap&) const = default;
};
inline auto MembersOf(const Overlap& overlap) {
  const auto& [shared_experts, tp, grad_reduce, param_gather, offload, communication_sms] = overlap;
  return std::tie(shared_experts, tp, grad_reduce, param_gather, offload, communication_sms);
}
const Fields<Overlap>& FieldsOf(const Overlap*);

}  // namespace moecast
