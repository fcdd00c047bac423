#include "viz/routing_view.h"

#include <algorithm>

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

Json SummaryJson(const LoadSummary& s) {
  return {{"mean", s.mean}, {"max", s.max}, {"cv", s.cv}};
}

// What single tokens do, or null where only counts are known.
template <class T>
Json IfTokens(const RoutingReport& r, T value) {
  return r.single_tokens ? Json(value) : Json();
}

Json StepJson(const BalanceStep& s, size_t step) {
  return {{"step", step},
          {"expert_cv", s.expert.cv},
          {"expert_max_over_mean", s.expert.max_over_mean()},
          {"device_cv", s.device.cv},
          {"device_max_over_mean", s.device.max_over_mean()},
          {"communication_cv", s.communication.cv},
          {"communication_max_over_mean", s.communication.max_over_mean()},
          {"expert_loss", s.expert_loss},
          {"device_loss", s.device_loss},
          {"communication_loss", s.communication_loss}};
}

std::vector<std::string> SummaryRow(const std::string& of, const LoadSummary& s) {
  return {of, Printf("%.1f", s.mean), Printf("%.1f", s.max), Printf("%.3f", s.max_over_mean()),
          Printf("%.4f", s.cv)};
}

// About ten of the steps, the first and the last among them.
std::string HistoryText(const std::vector<BalanceStep>& history) {
  Rows rows = {{"step", "expert cv", "max", "device cv", "max", "communication cv", "max"}};
  const size_t last = history.size() - 1, stride = std::max<size_t>(1, (last + 9) / 10);
  for (size_t i = 0; i <= last; ++i) {
    if (i % stride != 0 && i != last) continue;
    const BalanceStep& s = history[i];
    rows.push_back({std::to_string(i)});
    for (const LoadSummary* load : {&s.expert, &s.device, &s.communication}) {
      rows.back().push_back(Printf("%.4f", load->cv));
      rows.back().push_back(Printf("%.3f", load->max_over_mean()));
    }
  }
  return Aligned(rows, "r");
}

}  // namespace

Json RoutingJson(const RoutingReport& r) {
  const RoutingSetup& s = r.setup;
  Json rows = Json::array();
  Json dispatch = Json::array();
  Json distinct = Json::array();
  Json history = Json::array();
  for (const RoutedRow& row : r.rows)
    rows.push_back({{"layer", row.layer},
                    {"micro_batch", row.micro_batch},
                    {"expert_load", SummaryJson(row.expert)},
                    {"device_load", SummaryJson(row.device)},
                    {"received_tokens", IfTokens(r, SummaryJson(row.received))},
                    {"devices_per_token", IfTokens(r, row.devices_per_token)},
                    {"nodes_per_token", IfTokens(r, row.nodes_per_token)},
                    {"dropped_fraction", row.dropped},
                    {"dropped_weight_fraction", IfTokens(r, row.dropped_weight)}});
  for (int from = 0; from < s.spread.ranks && r.single_tokens; ++from) {
    Json to = Json::array();
    for (int rank = 0; rank < s.spread.ranks; ++rank)
      to.push_back(r.dispatch_bytes[static_cast<size_t>(from) * s.spread.ranks + rank]);
    dispatch.push_back(std::move(to));
  }
  for (const auto& d : r.distinct)
    distinct.push_back({{"tokens", d.tokens}, {"experts", d.experts}});
  for (size_t i = 0; i < r.history.size(); ++i) history.push_back(StepJson(r.history[i], i));
  Json placement;
  if (r.placed)
    placement = {
        {"policy", NameOf(r.placed->policy)},
        {"slots", r.placed->slots},
        {"device_max_over_mean_before", r.placed->before},
        {"device_max_over_mean", r.placed->after},
        {"device_max_over_mean_next_micro_batch", r.placed->next ? Json(*r.placed->next) : Json()}};
  return {{"scenario", r.scenario},
          {"model", r.model.name},
          {"tokens", r.tokens_from},
          {"experts", s.gate.experts},
          {"shared_experts", r.model.moe.shared_experts},
          {"ranks", s.spread.ranks},
          {"dropping_devices", s.dropping_devices()},
          {"sent_once_per", NameOf(s.spread.sent_once)},
          {"experts_per_token", IfTokens(r, r.experts_per_token)},
          {"expert_load", SummaryJson(r.mean.expert)},
          {"device_load", SummaryJson(r.mean.device)},
          {"received_tokens", IfTokens(r, SummaryJson(r.mean.received))},
          {"devices_per_token", IfTokens(r, r.mean.devices_per_token)},
          {"nodes_per_token", IfTokens(r, r.mean.nodes_per_token)},
          {"uniform_choice",
           {{"devices_per_token", r.uniform.devices}, {"nodes_per_token", r.uniform.nodes}}},
          {"dropped_fraction", r.mean.dropped},
          {"dropped_weight_fraction", IfTokens(r, r.mean.dropped_weight)},
          {"dispatch_bytes", r.single_tokens ? std::move(dispatch) : Json()},
          {"distinct_experts", std::move(distinct)},
          {"layers", std::move(rows)},
          {"placement", std::move(placement)},
          {"history", std::move(history)}};
}

std::string RoutingText(const RoutingReport& r) {
  const RoutingSetup& s = r.setup;
  std::string text = r.scenario + ": " + r.model.name + ", " + std::to_string(s.gate.experts) +
                     " routed experts on " + std::to_string(s.spread.ranks) +
                     " expert-parallel ranks, tokens " + r.tokens_from + "\n";
  if (r.single_tokens)
    text += Printf("  a token takes %.3f experts on %.3f ranks of %.3f nodes\n",
                   r.experts_per_token, r.mean.devices_per_token, r.mean.nodes_per_token);
  if (s.load.capacity_factor)
    text += Printf("  dropped at capacity factor %g on %d devices: %.2f %% of the visits\n",
                   *s.load.capacity_factor, s.dropping_devices(), 100 * r.mean.dropped);
  text += "\n";
  Rows rows = {{"a layer's load", "mean", "max", "max/mean", "cv"},
               SummaryRow("visits of an expert", r.mean.expert),
               SummaryRow("visits of a rank", r.mean.device)};
  if (r.single_tokens) rows.push_back(SummaryRow("tokens of a rank", r.mean.received));
  text += Aligned(rows, "lrrrr");
  if (r.single_tokens && s.spread.ranks > 1) {
    double sent = 0, most = 0;
    for (const double bytes : r.dispatch_bytes) {
      sent += bytes;
      most = std::max(most, bytes);
    }
    text += "\ndispatch of a layer, once for each " + std::string(NameOf(s.spread.sent_once)) +
            ": a rank sends " + ShowBytes(Bytes(sent / s.spread.ranks)) + ", at most " +
            ShowBytes(Bytes(most)) + " to one other\n";
  }
  if (!r.distinct.empty()) {
    Rows few = {{"tokens"}, {"different experts"}};
    for (const auto& d : r.distinct) {
      few[0].push_back(std::to_string(d.tokens));
      few[1].push_back(Printf("%.1f", d.experts));
    }
    text += "\n" + Aligned(few, "l");
  }
  if (r.placed) {
    text += Printf(
        "\nplacement %s, %d slots: most loaded rank %.3f of the mean, %.3f as the experts lie in "
        "order",
        std::string(NameOf(r.placed->policy)).c_str(), r.placed->slots, r.placed->after,
        r.placed->before);
    text += r.placed->next ? Printf(", %.3f in the next micro-batch\n", *r.placed->next) : "\n";
  }
  if (r.history.size() > 1) text += "\n" + HistoryText(r.history);
  return text;
}

}  // namespace moecast
