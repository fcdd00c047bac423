// Which rank a request goes to: policies of the router before the engines, a row each.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "sim/serving/scheduler.h"

namespace moecast {

struct RouterPolicy {
  std::string_view name;
  std::string_view help;
  // Whether it looks at the ranks; else replicas do not influence each other.
  bool looks;
  // `turn`: how many requests came before.
  size_t (*choose)(std::span<Scheduler* const> ranks, int64_t turn, const SequenceAsked& asked);
};

std::span<const RouterPolicy> RouterPolicies();
// Null where there is none of that name.
const RouterPolicy* FindRouterPolicy(std::string_view name);

}  // namespace moecast
