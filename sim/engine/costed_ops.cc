#include "sim/engine/costed_ops.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace moecast {

CostedOps CostedBy(std::vector<Op> ops, bool overlaps, const OpCosts& costs) {
  CostedOps costed{.ops = std::move(ops), .costs = {}, .beside = {}, .list_ends = {}};
  costed.costs.reserve(costed.ops.size());
  for (Op& op : costed.ops) {
    costed.costs.push_back(costs.Of(op));
    if (auto* query = std::get_if<CollectiveQuery>(&op.query))
      query->algorithm = costs.Lower(*query).algorithm;
  }
  const auto communicates = [](const Op& op) { return op.stream() != Stream::kCompute; };
  const bool together = overlaps || std::any_of(costed.ops.begin(), costed.ops.end(), communicates);
  costed.beside.assign(costed.ops.size(), 1);
  for (size_t i = 0; i < costed.ops.size() && together; ++i)
    costed.beside[i] = costs.Beside(costed.ops[i], costed.costs[i]);
  return costed;
}

}  // namespace moecast
