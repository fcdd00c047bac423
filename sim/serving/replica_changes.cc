#include "sim/serving/replica_changes.h"

#include "base/fields.h"

namespace moecast {

const Fields<ReplicaFailure>& FieldsOf(const ReplicaFailure*) {
  static const Fields<ReplicaFailure> fields(
      "replica failure",
      {
          Row("pool", &ReplicaFailure::pool,
              "whose replica fails; prefill only where there is a prefill pool"),
          RequiredRow("replica", &ReplicaFailure::replica, "which of the pool, from 0",
                      {.low = 0, .high = 65535}),
          RequiredRow("at", &ReplicaFailure::at, "when it fails, after the load's begin",
                      {.low = 0, .high = 8.64e6}),
          RequiredRow("recovery", &ReplicaFailure::recovery,
                      "until it takes requests again: its process started, weights loaded",
                      {.low = 0, .high = 8.64e6}),
      });
  return fields;
}

const Fields<Autoscaling>& FieldsOf(const Autoscaling*) {
  static const Fields<Autoscaling> fields(
      "autoscaling",
      {
          Row("min_replicas", &Autoscaling::min_replicas, "replicas that are always there",
              {.low = 1, .high = 65536}),
          RequiredRow("target_requests", &Autoscaling::target_requests,
                      "requests in flight that each replica is to have",
                      {.low = 1e-3, .high = 1e6}),
          RequiredRow("startup", &Autoscaling::startup,
                      "until a new replica takes requests: its node found, weights loaded",
                      {.low = 0, .high = 86400}),
          Row("interval", &Autoscaling::interval, "between decisions", {.low = 0.1, .high = 86400}),
          Row("stabilization", &Autoscaling::stabilization,
              "replicas go only as far as the most that was wanted for so long",
              {.low = 0, .high = 86400}),
      });
  return fields;
}

}  // namespace moecast
