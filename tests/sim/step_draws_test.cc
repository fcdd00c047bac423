#include "sim/training/step_draws.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/training/step_time.h"
#include "tests/sim/step_probe.h"

namespace moecast {
namespace {

// One draw, each block solved op by op and the schedule timed alone.
Seconds OneByOne(const Step& step, const Noise& noise) {
  const auto deviate = [&noise](const Lattice* lattice, uint64_t key) {
    return NormalQuantile(lattice->KeyedPoint(noise.draw, key));
  };
  const Seconds time = StepTime(step, [&](const Cost& cost, uint64_t position) {
    double shift = noise.by_source[cost.source] * cost.sigma_table;
    if (noise.curves && cost.sigma_curve > 0)
      shift += deviate(noise.curves, cost.curve) * cost.sigma_curve;
    if (noise.own && cost.sigma_own > 0)
      shift += deviate(noise.own, position * 0x9e3779b97f4a7c15ULL) * cost.sigma_own;
    return cost.time * std::exp(shift);
  });
  return time * std::exp(noise.whole_step * step.run->whole_step.sigma);
}

// 11 draws: as many as are timed together, and a rest.
void ExpectAsOneByOne(const std::string& scenario, const std::vector<std::string>& sets) {
  const TrainingRun run = RunAlone(scenario, sets);
  StepCache cache;
  const PreparedPhase phase(run, cache);
  const Step& step = phase.step();
  const Lattice curves(1), own(2);
  for (const int errors : {0, 1, 2, 3}) {
    std::vector<Noise> draws;
    for (int i = 0; i < 11; ++i) {
      Noise& noise = draws.emplace_back();
      Random random(static_cast<uint64_t>(i) + 1);
      noise.by_source = BySource<double>(step.sources->size());
      for (const SourceId source : step.sources->ids()) noise.by_source[source] = random.Normal();
      noise.whole_step = random.Normal();
      noise.curves = errors & 1 ? &curves : nullptr;
      noise.own = errors & 2 ? &own : nullptr;
      noise.draw = 3 * i;
    }
    const std::vector<Seconds> times = StepTimes(step, draws);
    ASSERT_EQ(times.size(), draws.size());
    for (size_t i = 0; i < draws.size(); ++i)
      EXPECT_EQ(times[i].value, OneByOne(step, draws[i]).value) << scenario << " draw " << i;
  }
}

TEST(StepDrawsTest, DrawsTimedTogetherAreToTheBitWhatEachIsAlone) {
  ExpectAsOneByOne("deepseek-v2-pretrain", {});
  ExpectAsOneByOne("deepseek-v2-pretrain",
                   {"training/routing/device_cv=0.3", "training/optimizer/grad_clip=none"});
  ExpectAsOneByOne("deepseek-v2-lite-pretrain",
                   {"training/routing={}", "training/routing/tokens/distribution=zipf",
                    "training/optimizer/grad_clip=post-validation"});
  ExpectAsOneByOne("deepseek-v3-pretrain", {"training/phases/0/global_batch=4096"});
  ExpectAsOneByOne("deepseek-67b-pretrain",
                   {"training/optimizer/offload=0.5", "training/optimizer/grad_clip=none"});
}

TEST(StepDrawsTest, NoDrawsHaveNoTimes) {
  StepCache cache;
  const PreparedPhase phase(RunAlone("deepseek-v2-lite-pretrain", {}), cache);
  EXPECT_TRUE(StepTimes(phase.step(), {}).empty());
}

}  // namespace
}  // namespace moecast
