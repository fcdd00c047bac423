#include "costmodel/routing_load.h"

#include "base/fields.h"

namespace moecast {

const Fields<RoutingLoad>& FieldsOf(const RoutingLoad*) {
  static const Fields<RoutingLoad> fields(
      "routing",
      {
          Row("device_cv", &RoutingLoad::device_cv,
              "coefficient of variation of the tokens that the devices of an expert-parallel group "
              "receive, per layer and micro-batch; 0 is balanced",
              {.low = 0, .high = 2}),
          Row("tokens", &RoutingLoad::tokens,
              "tokens that the model's gate routes, in place of device_cv"),
          Row("recorded", &RoutingLoad::recorded,
              "file of what was routed, counts or choices, in place of device_cv and tokens "
              "(docs/model-routing.md)"),
          Row("capacity_factor", &RoutingLoad::capacity_factor,
              "a device drops tokens above this many times the mean; absent: nothing is dropped",
              {.low = 0.1, .high = 100}),
          Row("never_dropped", &RoutingLoad::never_dropped,
              "fraction of the sequences whose tokens are never dropped", {.low = 0, .high = 1}),
          Row("topk_group", &RoutingLoad::topk_group,
              "groups of experts that a token goes to at most (DeepSeek-V2's devices, -V3's "
              "nodes), in place of the model's",
              {.low = 1, .high = 65535}),
          Row("top_p", &RoutingLoad::top_p,
              "experts of a token: as many, best first, as reach this part of its affinity, in "
              "place of the model's top-k; needs tokens",
              {.low = 0.001, .high = 1}),
      });
  return fields;
}

std::optional<RoutingFault> CheckRouting(const RoutingLoad& routing, const Moe& moe, int ep) {
  const bool drawn = routing.tokens || routing.recorded;
  if (routing.device_cv > 0 && ep == 1)
    return RoutingFault{"/device_cv", "0 without expert parallelism: one device takes all tokens"};
  if (routing.device_cv > 0 && drawn)
    return RoutingFault{
        "/device_cv", std::string("0 where ") + (routing.recorded ? "recorded says what was routed"
                                                                  : "tokens say what is routed")};
  if (routing.recorded && routing.tokens)
    return RoutingFault{"/tokens", "none where recorded says what was routed"};
  if (moe.experts == 0 && drawn)
    return RoutingFault{routing.recorded ? "/recorded" : "/tokens",
                        "none: the model has no experts"};
  if (routing.top_p && !routing.tokens)
    return RoutingFault{"/top_p", "none without tokens, which say how many experts that is"};
  if (!routing.topk_group) return std::nullopt;
  if (moe.groups == 1)
    return RoutingFault{"/topk_group", "none: the model's experts are in no groups"};
  const int size = moe.experts / moe.groups, least = (moe.top_k + size - 1) / size;
  if (*routing.topk_group < least || *routing.topk_group > moe.groups)
    return RoutingFault{"/topk_group", "from " + std::to_string(least) +
                                           ", which hold the experts of a token, to the model's " +
                                           std::to_string(moe.groups) + " groups"};
  return std::nullopt;
}

}  // namespace moecast
