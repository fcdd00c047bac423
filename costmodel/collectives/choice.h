// Which algorithm of the table (costmodel/collectives/algorithms.h) runs each kind of a step's
// collectives: "auto", the fastest for the size and the group alone on idle links, or one by name,
// for every group that runs the kind. Two are no matter of choice: what is overlapped with the GEMM
// it belongs to (overlap.tp) goes by ring-chunks, and the gradient norm's one number by auto.
#pragma once

#include <string>
#include <string_view>
#include <tuple>

#include "base/fields_fwd.h"
#include "costmodel/collectives/kind.h"

namespace moecast {

inline constexpr std::string_view kAutoAlgorithm = "auto";
// The same with inference engines' own kernels among them; no name of a plan's, a deployment's
// custom_all_reduce and all_to_all say it.
inline constexpr std::string_view kEngineAlgorithm = "engine";

struct CollectiveChoice {
  std::string all_gather{kAutoAlgorithm}, reduce_scatter{kAutoAlgorithm},
      all_reduce{kAutoAlgorithm}, dispatch{kAutoAlgorithm}, combine{kAutoAlgorithm};
  bool operator==(const CollectiveChoice&) const = default;
  // The member of that name; of a kind that has none, `auto`.
  std::string_view Of(CollectiveKind kind) const;
};
inline auto MembersOf(const CollectiveChoice& choice) {
  const auto& [all_gather, reduce_scatter, all_reduce, dispatch, combine] = choice;
  return std::tie(all_gather, reduce_scatter, all_reduce, dispatch, combine);
}
const Fields<CollectiveChoice>& FieldsOf(const CollectiveChoice*);

}  // namespace moecast
