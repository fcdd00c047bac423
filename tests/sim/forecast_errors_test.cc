// The interval of a forecast against errors put in: where all but one kind of them is taken away,
// the step has that one's spread.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/json.h"
#include "scenarios/calibration_loader.h"
#include "sim/forecast/forecast.h"
#include "tests/sim/step_probe.h"

namespace moecast {
namespace {

// What is left of the errors that the calibration and the whole step state.
struct Errors {
  double table = 0, curve = 0, own = 0, whole_step = 0;
};

// The calibration of the run with each level of its errors scaled.
std::shared_ptr<const Calibration> Scaled(const Device& device, const std::string& stack,
                                          const Errors& errors) {
  return std::make_shared<const Calibration>(device, stack, [errors](std::string_view path) {
    std::string text = CalibrationText(path).value();
    if (!path.ends_with("calibration.json")) return text;
    Json json = ParseJson(text, std::string(path))->root;
    for (const char* list : {"tables", "reasoned"})
      for (Json& record : json[list])
        for (const auto& [key, scale] : {std::pair("sigma_table", errors.table),
                                         {"sigma_curve", errors.curve},
                                         {"sigma_curve_short", errors.curve},
                                         {"sigma_own", errors.own},
                                         {"sigma_own_short", errors.own}})
          if (record.contains(key)) record[key] = record[key].get<double>() * scale;
    return DumpJson(json);
  });
}

// On one rank a step is its blocks and its optimizer, one after another: small errors of its parts
// add up in proportion to their time. Standard deviation of ln(step), parts that err together
// summed first.
struct Spread {
  double by_hand = 0, drawn = 0;
};

Spread SpreadWith(const Errors& errors) {
  TrainingRun run = RunAlone("deepseek-v2-lite-pretrain", {R"(training/parallel={"pp":1,"dp":1})",
                                                           "training/phases/0/global_batch=8",
                                                           "training/optimizer/grad_clip=none"});
  run.calibration = Scaled(run.cluster.device, "2024h1", errors);
  run.whole_step.sigma *= errors.whole_step;
  StepCache cache;
  const PreparedRun prepared(run, cache);
  const Step& step = prepared.step(0);

  std::map<SourceId, double> by_source;
  std::map<uint64_t, double> by_curve;
  std::map<int, double> by_op;
  double time = 0;
  const auto add = [&](const Cost& cost, int times, int op) {
    const double takes = cost.time.value * times;
    time += takes;
    by_source[cost.source] += takes * cost.sigma_table;
    by_curve[cost.curve] += takes * cost.sigma_curve;
    by_op[op] += takes * cost.sigma_own;
  };
  EachOpOfBlocks(step, add);
  int op = -1;
  for (const Cost& cost : step.blocks.of_stages[0].optimizer->costed.costs) add(cost, 1, op--);
  EXPECT_NEAR(time / StepTime(step).value, 1, 1e-9);

  Spread spread;
  const auto square = [](double x) { return x * x; };
  for (const auto& [source, moved] : by_source) spread.by_hand += square(moved / time);
  for (const auto& [curve, moved] : by_curve) spread.by_hand += square(moved / time);
  for (const auto& [number, moved] : by_op) spread.by_hand += square(moved / time);
  spread.by_hand = std::sqrt(spread.by_hand + square(run.whole_step.sigma));

  const auto variant = [](std::span<const int>) { return Programme{}; };
  const Forecast forecast = ForecastRun(prepared, {}, variant, {.samples = 256}, cache);
  double mean = 0;
  const double n = static_cast<double>(forecast.draws.size());
  for (const Draw& d : forecast.draws) mean += std::log(d.headlines.step_time_s) / n;
  for (const Draw& d : forecast.draws)
    spread.drawn += square(std::log(d.headlines.step_time_s) - mean) / n;
  spread.drawn = std::sqrt(spread.drawn);
  return spread;
}

// The standard deviation of 256 draws is known to 1 / sqrt(2 * 256), 4.4%: within three times that.
TEST(ForecastSpreadTest, EachLevelOfErrorsMovesTheStepByWhatItsPartsAddUpTo) {
  // Without any, what lies beyond the tables' range still errs, by the octave.
  const std::pair<const char*, Errors> cases[] = {
      {"none", {}},        {"table", {.table = 1}},           {"curve", {.curve = 1}},
      {"own", {.own = 1}}, {"whole step", {.whole_step = 1}}, {"all", {1, 1, 1, 1}}};
  for (const auto& [name, errors] : cases) {
    const Spread spread = SpreadWith(errors);
    EXPECT_GT(spread.by_hand, 1e-3) << name;
    EXPECT_NEAR(spread.drawn / spread.by_hand, 1, 0.13) << name;
  }
}

}  // namespace
}  // namespace moecast
