// moecast routing SCENARIO: the gate of the scenario's model over tokens, drawn or recorded.
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/named.h"
#include "scenarios/scenario.h"
#include "sim/routing/rank_loads.h"
#include "sim/routing/routing_report.h"
#include "traces/routing_record.h"
#include "viz/routing_view.h"

namespace moecast {
namespace {

constexpr int64_t kMostSteps = 100000, kMostRouted = int64_t{1} << 24;
// Rates of the centroids: logits a step; for `gradient` logits per unit of gradient, which at these
// alphas are about 1e-5. They set how many steps it takes and nothing else.
constexpr double kSignRate = 0.02, kGradientRate = 1000;

template <class T>
void CheckRange(const char* option, T value, T low, T high) {
  if (value >= low && value <= high) return;
  throw UserError({.file = option,
                   .value = ShowNumber(static_cast<double>(value), 6),
                   .expected = "from " + ShowNumber(static_cast<double>(low), 6) + " to " +
                               ShowNumber(static_cast<double>(high), 6)});
}

std::vector<BalanceLoss> LossesNamed(const std::vector<std::string>& names) {
  std::vector<BalanceLoss> losses;
  if (names == std::vector<std::string>{"none"}) return losses;
  for (const std::string& name : names) {
    const auto loss = ByName<BalanceLoss>(name);
    auto valid = Codec<BalanceLoss>::Names();
    valid.push_back("none");
    if (!loss || std::count(names.begin(), names.end(), name) > 1)
      throw UserError({.file = "--losses",
                       .value = "\"" + Shortened(name) + "\"",
                       .expected = "none, or each at most once of expert, device, communication",
                       .hint = loss ? "" : Nearest(name, valid)});
    losses.push_back(*loss);
  }
  return losses;
}

}  // namespace

Action DefineRouting(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario;
    std::string recorded;
    std::string record;
    std::string sent_once;
    std::string placement;
    std::string step_rule = "sign";
    std::vector<std::string> sets, losses{"expert", "device", "communication"};
    int64_t steps = 0;
    int64_t step_tokens = BalanceOptions{}.tokens;
    int64_t layers = 4;
    int64_t micro_batches = 1;
    int64_t redundant = 0;
    double bias_rate = NAN, rate = NAN, top_p = 0;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in training scenario or the path of a file",
           {.required = true});
  list.Add("--set", o->sets, "overrides a field: training/routing/tokens/distribution=zipf",
           {.repeated = true});
  list.Add("--layers", o->layers, "MoE layers to route", {.show_default = true});
  list.Add("--micro-batches", o->micro_batches, "micro-batches of each rank",
           {.show_default = true});
  list.Add("--recorded", o->recorded, "route what this file has recorded, counts or choices");
  list.Add("--record", o->record,
           "write the drawn choices of the first micro-batch into this file");
  list.Add("--top-p", o->top_p,
           "experts of a token until their affinities sum to this, in place of top-k");
  list.Add("--sent-once", o->sent_once,
           "a token is sent once for each: expert, device, node (default: as the plan's dispatch "
           "does)");
  list.Add("--placement", o->placement, "place experts by their loads: hierarchical, global");
  list.Add("--redundant", o->redundant, "expert slots beyond one an expert, with --placement",
           {.show_default = true});
  list.Add("--steps", o->steps, "steps of the balance losses and the bias", {.show_default = true});
  list.Add("--losses", o->losses, "expert, device, communication, or none",
           {.show_default = true, .repeated = true, .delimiter = ','});
  list.Add("--bias-rate", o->bias_rate,
           "step of the bias; 0: no bias (default: 0.001 for a model with a bias, else 0)");
  list.Add("--step-rule", o->step_rule, "how losses move the gate: sign, gradient",
           {.show_default = true});
  list.Add("--rate", o->rate,
           "step of the gate, in logits (default: 0.02 for sign, 1000 for gradient)");
  list.Add("--step-tokens", o->step_tokens, "tokens of a step", {.show_default = true});
  return [o, &common] {
    // Tokens are routed one by one here; the closed form that stands for them in training has no
    // part in it.
    o->sets.insert(o->sets.begin(), "training/routing/device_cv=0");
    const Scenario scenario = Scenario::Load(o->scenario, o->sets);
    const TrainingRun& run = scenario.training().phases.front();
    if (run.model.moe.experts == 0)
      throw UserError({.file = o->scenario,
                       .pointer = "/model",
                       .value = "\"" + run.model.name + "\"",
                       .expected = "a model with routed experts"});
    const ExpertSpread spread =
        ExpertSpreadOf(run.model, ShardOf(run.plan), PlacementOf(run.plan.parallel), run.cluster);
    RoutingSetup setup =
        RoutingOf(run.model, run.cluster, run.plan, spread, run.plan.phases[0].sequence_length);
    CheckRange<int64_t>("--layers", o->layers, 1, run.model.layers(LayerKind::kMoe));
    CheckRange<int64_t>("--micro-batches", o->micro_batches, 1, 10000);
    CheckRange<int64_t>("--steps", o->steps, 0, kMostSteps);
    CheckRange<int64_t>("--step-tokens", o->step_tokens, 1, 1 << 20);
    CheckRange("--top-p", o->top_p, 0.0, 1.0);
    const std::string file =
        o->recorded.empty() ? run.plan.routing.recorded.value_or("") : o->recorded;
    const auto record = o->recorded.empty()
                            ? run.record
                            : std::make_shared<const RoutingRecord>(
                                  ParseRoutingRecord(ReadFile(file), file, setup.gate.experts));
    if (record && (!o->record.empty() || o->steps > 0))
      throw UserError({.file = o->record.empty() ? "--steps" : "--record",
                       .expected = "drawn tokens, not those recorded in " + file});
    const auto tokens = setup.tokens_per_rank() * setup.spread.ranks;
    if (!record && tokens > kMostRouted)
      throw UserError({.file = o->scenario,
                       .pointer = "/training/micro_batch",
                       .value = std::to_string(tokens) + " tokens of all ranks",
                       .expected = "at most 16777216"});
    if (o->top_p > 0) setup.gate.top_p = o->top_p;
    if (!o->sent_once.empty())
      setup.spread.sent_once = Named<SentOnce>("--sent-once", o->sent_once);

    RoutingOptions options{.layers = static_cast<int>(o->layers),
                           .micro_batches = static_cast<int>(o->micro_batches),
                           .redundant = static_cast<int>(o->redundant),
                           .seed = common.seed};
    options.balance = {.steps = static_cast<int>(o->steps),
                       .tokens = o->step_tokens,
                       .losses = LossesNamed(o->losses),
                       .rule = Named<StepRule>("--step-rule", o->step_rule)};
    const double usual_rate = options.balance.rule == StepRule::kSign ? kSignRate : kGradientRate,
                 usual_bias = run.model.moe.method->has_bias ? kBiasRate.value : 0;
    options.balance.rate = std::isnan(o->rate) ? usual_rate : o->rate;
    options.balance.bias_rate = std::isnan(o->bias_rate) ? usual_bias : o->bias_rate;
    CheckRange("--rate", options.balance.rate, 0.0, 1e9);
    CheckRange("--bias-rate", options.balance.bias_rate, 0.0, 1.0);
    CheckRange<int64_t>("--redundant", o->redundant, 0, 65536);
    if (!o->placement.empty()) {
      options.placement = Named<PlacementPolicy>("--placement", o->placement);
      const PlacementShape shape = PlacementShapeOf(setup, options.redundant);
      if (!CanPlace(*options.placement, setup.gate.experts, shape))
        throw UserError({.file = "--placement",
                         .value = "\"" + o->placement + "\" of " + std::to_string(shape.slots) +
                                  " slots on " + std::to_string(shape.devices) + " ranks",
                         .expected = "slots that the ranks divide; for hierarchical also groups (" +
                                     std::to_string(shape.groups) + ") and ranks that the nodes (" +
                                     std::to_string(shape.nodes) + ") divide"});
    } else if (o->redundant > 0) {
      throw UserError({.file = "--redundant",
                       .value = std::to_string(o->redundant),
                       .expected = "0 without --placement"});
    }
    RoutingReport report =
        ReportRouting(o->scenario, run.model, run.plan, setup, options, record.get());
    if (record) report.tokens_from = "recorded in " + file;
    if (!o->record.empty()) WriteFile(o->record, WriteRoutingRecord(RecordRouting(setup, options)));
    Emit(common, RoutingJson(report), RoutingText(report));
  };
}

}  // namespace moecast
