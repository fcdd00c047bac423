#include "costmodel/collectives/choice.h"

#include "base/fields.h"

namespace moecast {

std::string_view CollectiveChoice::Of(CollectiveKind kind) const {
  switch (kind) {
    case CollectiveKind::kAllGather:
      return all_gather;
    case CollectiveKind::kReduceScatter:
      return reduce_scatter;
    case CollectiveKind::kAllReduce:
      return all_reduce;
    case CollectiveKind::kDispatch:
      return dispatch;
    case CollectiveKind::kCombine:
      return combine;
    case CollectiveKind::kSend:
    case CollectiveKind::kBroadcast:
    case CollectiveKind::kAllToAll:
      return kAutoAlgorithm;
  }
  return kAutoAlgorithm;
}

const Fields<CollectiveChoice>& FieldsOf(const CollectiveChoice*) {
  static const Fields<CollectiveChoice> fields(
      "collectives",
      {
          Row("all_gather", &CollectiveChoice::all_gather,
              "algorithm of all-gathers: auto, or as `moecast collective --help` lists them"),
          Row("reduce_scatter", &CollectiveChoice::reduce_scatter, "algorithm of reduce-scatters"),
          Row("all_reduce", &CollectiveChoice::all_reduce,
              "algorithm of all-reduces, but for the gradient norm's one number"),
          Row("dispatch", &CollectiveChoice::dispatch,
              "algorithm that takes tokens to their experts; auto: two-hop"),
          Row("combine", &CollectiveChoice::combine, "algorithm that brings them back"),
      });
  return fields;
}

}  // namespace moecast
