// What runs at the same time on a rank. Plain data; the Fields table documents every member.
#pragma once

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
const Fields<Overlap>& FieldsOf(const Overlap*);

// Whatever runs beside a kernel, it keeps one SM in so many and what is left of the HBM bandwidth.
inline constexpr int kLeastSmsLeft = 20;
inline constexpr double kMostHbmTaken = 0.95;

}  // namespace moecast
