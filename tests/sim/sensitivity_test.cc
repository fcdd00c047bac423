#include "sim/forecast/sensitivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/fields.h"
#include "scenarios/scenario.h"

namespace moecast {
namespace {

// The step of a plan without pipeline and data parallelism is a sum of operators: a tenth on each
// of them is a tenth on the whole, so the effects of sources, gap apart, sum to a tenth.
TEST(SensitivityTest, ATenthOnEverySourceIsATenthOnTheWhole) {
  StepCache cache;
  TrainingRun run =
      Scenario::Load(
          "deepseek-67b-pretrain",
          std::vector<std::string>{"unknown={}", "training/parallel={\"tp\":1,\"pp\":1,\"dp\":1}",
                                   "training/phases/0/global_batch=1"})
          .training()
          .phases.front();
  run.whole_step = kKernelsAlone;
  const PreparedRun prepared(std::move(run), cache);
  double sum = 0;
  for (const Sensitivity& s : Sensitivities(prepared, cache))
    if (s.quantity.starts_with("times of")) sum += s.change_percent;
  EXPECT_NEAR(sum, 10, 1e-3);
}

// GPU-seconds are a sum over the phases: the change of the whole is the mean of theirs, weighted by
// them.
TEST(SensitivityTest, OfAProgrammeItIsTheMeanOfThePhases) {
  StepCache cache;
  Programme programme =
      Scenario::Load("deepseek-v2-programme", std::vector<std::string>{"unknown={}"}).training();
  programme.phases = {programme.phases[1], programme.phases[3]};
  programme.phases[0].plan.phases[0].tokens = Count(2e9);
  const auto median = [](const Step& step) { return StepTime(step); };
  const auto moved = [&](const PreparedRun& run, const std::string& quantity) {
    for (const Sensitivity& s : Sensitivities(run, cache))
      if (s.quantity == quantity) return s.change_percent;
    ADD_FAILURE() << quantity;
    return 0.0;
  };
  const PreparedRun both(programme, cache), first(programme.phases[0], cache),
      second(programme.phases[1], cache);
  for (const char* quantity : {"gap around each operator, +10%", "times of network rate, +10%"}) {
    const double a = first.GpuSeconds(median), b = second.GpuSeconds(median);
    EXPECT_NEAR(moved(both, quantity),
                (a * moved(first, quantity) + b * moved(second, quantity)) / (a + b), 1e-9)
        << quantity;
    EXPECT_NE(moved(first, quantity), moved(second, quantity));
  }
}

// Fields of these tables that are numbers and move no row of their own.
const std::map<std::pair<std::string_view, std::string_view>, const char*> kNoFigures = {
    {{"cluster", "gpus"}, "a size that the plan chooses by"},
    {{"cluster", "gpus_per_node"}, "a size"},
    {{"cluster", "nics_per_node"}, "a size"},
    {{"cluster", "nic"}, "datasheet: utilisations alone are told of it"},
    {{"cluster", "nic_usable"}, "its costs have the source: network rate"},
    {{"cluster", "nvlink_usable"}, "its costs have the source: NVLink rate"},
    {{"cluster", "host_bandwidth"}, "its costs have the source: host memory rate"},
    {{"cluster", "host_memory"}, "takes no time"},
    {{"whole_step", "era"}, "takes everything along: a tenth is a tenth"},
    {{"whole_step", "sigma"}, "leaves the median where it is"},
    {{"routing", "topk_group"}, "a rule of the gate"},
    {{"routing", "top_p"}, "a rule of the gate"},
};

bool IsNumber(const ValueType& type) {
  const ValueType* const numbers[] = {&TypeOf<int>(),
                                      &TypeOf<int64_t>(),
                                      &TypeOf<double>(),
                                      &TypeOf<Bytes>(),
                                      &TypeOf<Seconds>(),
                                      &TypeOf<BytesPerSecond>(),
                                      &TypeOf<Count>(),
                                      &TypeOf<FlopsPerSecond>(),
                                      &TypeOf<std::optional<int>>(),
                                      &TypeOf<std::optional<double>>(),
                                      &TypeOf<std::optional<Seconds>>(),
                                      &TypeOf<std::optional<BytesPerSecond>>()};
  return std::find(std::begin(numbers), std::end(numbers), &type) != std::end(numbers);
}

template <class S>
const FieldTable& TableOf() {
  return FieldsOf(static_cast<const S*>(nullptr));
}

TEST(SensitivityTest, EveryNumberThatAScenarioOrItsClusterAssumesIsAFigureOrSaysWhyNot) {
  size_t figures = 0, others = 0;
  for (const FieldTable* table :
       {&TableOf<Cluster>(), &TableOf<WholeStepSpec>(), &TableOf<Overlap>(),
        &TableOf<RoutingLoad>(), &TableOf<TokenMix>()}) {
    for (const FieldRow& row : table->rows()) {
      if (!IsNumber(*row.type)) continue;
      const bool figure = std::any_of(
          AssumedFigures().begin(), AssumedFigures().end(),
          [&](const AssumedFigure& f) { return f.table == table->title() && f.field == row.name; });
      const bool other = kNoFigures.contains({table->title(), row.name});
      EXPECT_NE(figure, other) << table->title() << "/" << row.name;
      figures += figure;
      others += other;
    }
  }
  EXPECT_EQ(figures, AssumedFigures().size());
  EXPECT_EQ(others, kNoFigures.size());
}

// Of a run that has them all.
TEST(SensitivityTest, EveryFigureMovesItsFieldByATenth) {
  TrainingRun run;
  run.whole_step = {.sustained = 0.5, .gap = Microseconds(10)};
  run.cluster.device.sms = 132;
  run.plan.routing = {.device_cv = 0.1,
                      .tokens = TokenMix{.layer_correlation = 0.5},
                      .capacity_factor = 1,
                      .never_dropped = 0.1};
  const auto printed = [](const TrainingRun& r) {
    Json j = FieldsOf(static_cast<const Overlap*>(nullptr)).Print(r.plan.overlap);
    j.update(FieldsOf(static_cast<const RoutingLoad*>(nullptr)).Print(r.plan.routing));
    const Json tokens = j["tokens"];
    j.update(tokens);
    j.update({{"sustained", r.whole_step.sustained}, {"gap", r.whole_step.gap.value}});
    for (const auto& [name, value] :
         {std::pair("collective_launch", r.cluster.collective_launch.value),
          {"bulk_launch", r.cluster.bulk_launch.value},
          {"token_launch", r.cluster.token_launch.value},
          {"low_latency_launch", r.cluster.low_latency_launch.value},
          {"nvlink_step", r.cluster.nvlink_step.value},
          {"network_step", r.cluster.network_step.value},
          {"send_piece", r.cluster.send_piece.value},
          {"token_nvlink_share", r.cluster.token_nvlink_share},
          {"token_nic_share", r.cluster.token_nic_share}})
      j[name] = value;
    j.erase("tokens");
    return j;
  };
  const Json before = printed(run);
  for (const AssumedFigure& figure : AssumedFigures()) {
    TrainingRun moved = run;
    figure.raise(moved);
    const Json after = printed(moved);
    for (const auto& [name, value] : before.items()) {
      SCOPED_TRACE(std::string(figure.field) + " on " + name);
      if (name != figure.field) {
        EXPECT_EQ(after[name], value);
        continue;
      }
      const double ratio = after[name].get<double>() / value.get<double>();
      // Whole numbers are rounded.
      EXPECT_NEAR(name == "sustained" ? 1 / ratio : ratio, 1.1, name == "clusters" ? 0.04 : 1e-9);
    }
  }
}

}  // namespace
}  // namespace moecast
