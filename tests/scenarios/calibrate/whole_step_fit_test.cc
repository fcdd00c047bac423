// The two scalars of a whole step: what they do to a cost, and that the built-in ones are what the
// fit gives.
#include "scenarios/calibrate/whole_step_fit.h"

#include <gtest/gtest.h>

#include <cmath>

#include "costmodel/calibration/calibration_file.h"
#include "costmodel/whole_step.h"
#include "scenarios/builtin.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/scenario.h"
#include "sim/forecast/forecast.h"
#include "tests/message_of.h"

namespace moecast {
namespace {

// 100 us at 0.8 of peak under a cap of 0.5 take 160 us; at 0.4 they stay; each has the gap behind
// it.
TEST(WholeStepTest, PowerSlowsOnlyKernelsAboveItsCap) {
  const WholeStep w{.sustained = 0.5, .gap = Microseconds(10), .era = 2, .sigma = 0};
  const Cost fast{.time = Microseconds(100), .utilisation = 0.8},
      slow{.time = Microseconds(100), .utilisation = 0.4};
  EXPECT_NEAR(Sustained(fast, w).time / Microseconds(1), 2 * (160 + 10), 1e-9);
  EXPECT_NEAR(Sustained(slow, w).time / Microseconds(1), 2 * (100 + 10), 1e-9);
  EXPECT_NEAR(SustainedCollective(fast, w).time / Microseconds(1), 2 * 100, 1e-9);
}

TEST(WholeStepTest, KernelsAloneChangeNothing) {
  const Cost cost{.time = Microseconds(7), .utilisation = 0.99};
  EXPECT_EQ(Sustained(cost, kKernelsAlone).time, cost.time);
  EXPECT_EQ(SustainedCollective(cost, kKernelsAlone).time, cost.time);
}

TEST(WholeStepTest, WhatAScenarioDoesNotSayIsTheCalibrations) {
  const WholeStep fitted{.sustained = 0.5, .gap = Microseconds(10), .era = 1, .sigma = 0.1};
  EXPECT_EQ(WholeStepOf({}, fitted), fitted);
  const WholeStep changed = WholeStepOf({.gap = Seconds(0), .era = 2, .sigma = 0.2}, fitted);
  EXPECT_EQ(changed, (WholeStep{.sustained = 0.5, .gap = Seconds(0), .era = 2, .sigma = 0.2}));
}

// The built-in stacks with `stack`'s calibration.json changed.
Calibration Changed(const std::string& stack, const std::function<void(CalibrationFile&)>& change) {
  return Calibration(LoadDevice("h800"), stack, [&](std::string_view path) {
    std::string text(*BuiltinText("calibrations/" + std::string(path)));
    if (path != stack + "/calibration.json") return text;
    CalibrationFile file = ParseCalibrationFile(text, std::string(path));
    change(file);
    return PrintCalibrationFile(file);
  });
}

TEST(WholeStepTest, ACalibrationCarriesItsOwnOrItsBases) {
  const auto own = [](CalibrationFile& f) {
    f.whole_step = {
        .sustained = 0.7, .gap = Microseconds(3), .sigma = 0.05, .source = "our cluster"};
  };
  const auto none = [](CalibrationFile& f) { f.whole_step.reset(); };
  const WholeStep w{.sustained = 0.7, .gap = Microseconds(3), .era = 1, .sigma = 0.05};
  for (const char* stack : {"2025", "2024h1"}) {
    EXPECT_EQ(Changed(stack, own).whole_step(), w);
    EXPECT_EQ(Changed(stack, own).whole_step_source(), "our cluster");
  }
  EXPECT_EQ(Changed("2024h1", none).whole_step(),
            LoadCalibration(LoadDevice("h800"), "2025").whole_step());
  EXPECT_NE(MessageOf([&] { Changed("2025", none); }).find("2025/calibration.json: /whole_step"),
            std::string::npos);
}

TEST(WholeStepTest, AStepTakesTheCalibrationsWhereTheScenarioSetsNone) {
  const WholeStep built_in = LoadCalibration(LoadDevice("h800"), "2024h1").whole_step();
  const auto of = [](std::vector<std::string> sets) {
    return Scenario::Load("deepseek-v2-pretrain", sets).training().phases.front().whole_step;
  };
  EXPECT_EQ(of({}), built_in);
  WholeStep other = built_in;
  other.gap = Microseconds(5);
  EXPECT_EQ(of({"whole_step/gap=5us"}), other);
}

TEST(WholeStepTest, AnEraStretchesAStepAsAWhole) {
  StepCache cache;
  TrainingRun run = Scenario::Load("deepseek-v2-pretrain", {}).training().phases.front();
  const Seconds one = StepTime(PreparedRun(run, cache).step(0));
  run.whole_step.era = 2;
  EXPECT_NEAR(StepTime(PreparedRun(run, cache).step(0)) / one, 2, 1e-6);
}

TEST(WholeStepFitTest, TheBuiltInScalarsAreWhatTheFitGives) {
  const WholeStepFit fit = FitWholeStep();
  const WholeStep built_in = LoadCalibration(LoadDevice("h800"), "2025").whole_step();
  EXPECT_NEAR(fit.whole_step.sustained, built_in.sustained, 0.001) << "see: moecast calibrate fit";
  EXPECT_NEAR(fit.whole_step.gap / Microseconds(1), built_in.gap / Microseconds(1), 0.1);
  EXPECT_NEAR(fit.whole_step.sigma, built_in.sigma, 0.001);
}

// No other point nearby has a smaller sum of squares; a run's own error shrinks where it takes part
// in the fit.
TEST(WholeStepFitTest, TheFitIsAMinimumAndLeavingARunOutDoesNotBringItNearer) {
  const WholeStepFit fit = FitWholeStep();
  ASSERT_EQ(fit.runs.size(), 5u);
  double fitted = 0, kernels = 0;
  for (const DenseRun& r : fit.runs) {
    const double p = r.claim.published;
    fitted += std::pow(std::log(r.fitted / p), 2);
    kernels += std::pow(std::log(r.kernels / p), 2);
    EXPECT_GE(std::fabs(std::log(r.left_out / p)) + 1e-9, std::fabs(std::log(r.fitted / p)))
        << r.claim.name;
    EXPECT_GT(r.kernels, r.fitted) << r.claim.name;
  }
  EXPECT_LT(fitted, kernels / 10);
}

}  // namespace
}  // namespace moecast
