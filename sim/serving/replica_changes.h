// When replicas of a deployment are there and when not: those that fail, and those that come and go
// with the load. Plain data; the Fields tables document every member.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/fields_fwd.h"
#include "base/units.h"

namespace moecast {

enum class PoolKind : uint8_t { kDecode, kPrefill };
template <>
struct EnumNames<PoolKind> {
  static constexpr EnumName<PoolKind> kNames[] = {{PoolKind::kDecode, "decode"},
                                                  {PoolKind::kPrefill, "prefill"}};
};

// A replica that fails `at` after the load's begin and takes requests again `recovery` later. What
// it had is lost, and caches on their way from it or to it: their requests are run again from their
// beginning.
struct ReplicaFailure {
  PoolKind pool = PoolKind::kDecode;  // decode: of those that do not only prefill
  int replica = 0;  // counted over as many as there are, where a search tries fewer
  Seconds at;
  Seconds recovery;
  bool operator==(const ReplicaFailure&) const = default;
};
const Fields<ReplicaFailure>& FieldsOf(const ReplicaFailure*);

// Replicas come and go with the load (autoscaler.h), from min_replicas to as many as there are.
struct Autoscaling {
  int min_replicas = 1;
  double target_requests = 0;  // in flight in each replica
  Seconds startup;
  Seconds interval{15};
  Seconds stabilization{300};
  bool operator==(const Autoscaling&) const = default;
};
const Fields<Autoscaling>& FieldsOf(const Autoscaling*);

}  // namespace moecast
