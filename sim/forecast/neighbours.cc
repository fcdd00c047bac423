#include "sim/forecast/neighbours.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/quantity_text.h"
#include "sim/pipeline/pipeline.h"
#include "sim/training/plan_check.h"

namespace moecast {
namespace {

constexpr double kMore = 1.1;

std::string Names(const std::vector<Recompute>& recompute) {
  std::vector<std::string_view> names;
  for (const Recompute r : recompute) names.push_back(NameOf(r));
  return names.empty() ? "nothing" : Join(names);
}

bool Passes(const TrainingRun& run) {
  return !CheckPlan(run.plan, run.model, run.cluster);
}

// A plan timed and weighed.
struct Measured {
  std::string what;
  Seconds step;
  Bytes memory;  // of the fullest stage
};

// What shared links cost is taken over from the plan at hand.
Measured Measure(PlanChoice choice, const PreparedPhase& at_hand, StepCache& cache) {
  choice.run.plan.phases[0].global_batch_from.reset();
  const PreparedPhase prepared(std::move(choice.run), cache, at_hand.step().stretch);
  return {std::move(choice.what), StepTime(prepared.step()), prepared.memory().peak};
}

// The fastest within a limit, of equals the first; null where none is.
const Measured* Fastest(const std::vector<Measured>& plans, Bytes limit) {
  const Measured* best = nullptr;
  for (const Measured& m : plans)
    if (m.memory <= limit && (!best || m.step < best->step)) best = &m;
  return best;
}

Marginal MemoryMarginal(const PreparedPhase& prepared, StepCache& cache) {
  std::vector<Measured> plans = {
      {"the plan as it is", StepTime(prepared.step()), prepared.memory().peak}};
  for (PlanChoice& choice : MemoryChoices(prepared.run()))
    plans.push_back(Measure(std::move(choice), prepared, cache));
  const Bytes device = prepared.run().cluster.device.memory;
  const Measured* now = Fastest(plans, device);
  const Measured* then = Fastest(plans, device * kMore);
  Marginal row{"memory", std::nullopt, std::nullopt, ""};
  if (!then) {
    row.choice = "nothing near the plan fits";
  } else if (!now) {
    row.choice = "nothing near the plan fits today; with a tenth more " + then->what + " does";
  } else if (then->step < now->step) {
    const double change = 100 * (then->step / now->step - 1);
    row.step_change_percent = row.gpu_hours_change_percent = change;
    row.choice = then->what + (now == &plans[0] ? "" : " (today's best: " + now->what + ")");
  } else {
    // The faster plan that misses by the least.
    const Measured* next = nullptr;
    for (const Measured& m : plans)
      if (m.step < now->step && (!next || m.memory < next->memory)) next = &m;
    row.choice = next ? "the next faster plan, " + next->what + ", needs " + ShowBytes(next->memory)
                      : "no plan near it that holds more is faster";
    if (now != &plans[0]) row.choice += " (today's best: " + now->what + ")";
  }
  return row;
}

double ReplicaOf(const Parallel& p) {
  return static_cast<double>(p.tp) * p.cp * p.pp * p.ep_in_dp();
}

Marginal ReplicaMarginal(const PreparedPhase& prepared, StepCache& cache) {
  const Parallel& now = prepared.run().plan.parallel;
  const double step_now = StepTime(prepared.step()).value;
  Marginal best{"gpus_per_replica", std::nullopt, std::nullopt, ""};
  std::string refused;
  for (PlanChoice& choice : LargerReplicas(prepared.run())) {
    const Parallel then = choice.run.plan.parallel;
    const Bytes device = choice.run.cluster.device.memory;
    const Measured m = Measure(std::move(choice), prepared, cache);
    if (m.memory > device) {
      refused += (refused.empty() ? "" : "; ") + m.what + " needs " + ShowBytes(m.memory);
      continue;
    }
    const double growth = ReplicaOf(then) / ReplicaOf(now), step = m.step.value / step_now;
    const double hours = step * static_cast<double>(then.gpus()) / static_cast<double>(now.gpus());
    const auto tenth = [growth](double ratio) {
      return 100 * (std::pow(ratio, std::log(kMore) / std::log(growth)) - 1);
    };
    if (best.gpu_hours_change_percent && tenth(hours) >= *best.gpu_hours_change_percent) continue;
    best.step_change_percent = tenth(step);
    best.gpu_hours_change_percent = tenth(hours);
    best.choice = m.what + ", " + ShowNumber(growth, 3) + " times the GPUs";
  }
  if (!best.step_change_percent)
    best.choice =
        refused.empty() ? "no larger tp, cp, pp or ep passes" : "nothing fits: " + refused;
  return best;
}

}  // namespace

std::vector<PlanChoice> MemoryChoices(const TrainingRun& run) {
  std::vector<PlanChoice> choices;
  const auto add = [&](const std::string& what, const std::function<void(Plan&)>& change) {
    PlanChoice choice{what, run};
    change(choice.run.plan);
    if (Passes(choice.run)) choices.push_back(std::move(choice));
  };
  const Plan& plan = run.plan;
  // Subsets of what is recomputed; of a whole layer the operators that can be.
  std::vector<Recompute> whole = plan.recompute;
  const bool layer = plan.Recomputes(Recompute::kLayer);
  if (layer) {
    whole = {Recompute::kRmsNorm, Recompute::kSwiGlu};
    if (run.model.attention.kind->has_latents) whole.push_back(Recompute::kMlaUp);
  }
  const unsigned sets = 1u << whole.size();
  for (unsigned set = 0; set + (layer ? 0 : 1) < sets; ++set) {
    std::vector<Recompute> some;
    for (size_t i = 0; i < whole.size(); ++i)
      if (set >> i & 1) some.push_back(whole[i]);
    add("recomputing " + Names(some), [&some](Plan& p) { p.recompute = some; });
  }
  if (plan.weight_delay && FindPipelineSchedule(plan.schedule)->splits_weight) {
    for (const int more : {1, 2})
      add("weight_delay " + std::to_string(*plan.weight_delay + more),
          [more](Plan& p) { *p.weight_delay += more; });
    add("the schedule's own weight_delay", [](Plan& p) { p.weight_delay.reset(); });
  }
  for (int zero = plan.parallel.zero - 1; zero >= 0; --zero)
    add("zero " + std::to_string(zero), [zero](Plan& p) { p.parallel.zero = zero; });
  add("micro_batch " + std::to_string(2 * plan.micro_batch), [](Plan& p) { p.micro_batch *= 2; });
  return choices;
}

std::vector<PlanChoice> LargerReplicas(const TrainingRun& run) {
  struct AxisSize {
    const char* name;
    int Parallel::*size;
  };
  constexpr AxisSize kAxisSizes[] = {
      {"tp", &Parallel::tp}, {"cp", &Parallel::cp}, {"pp", &Parallel::pp}, {"ep", &Parallel::ep}};
  constexpr int kFurthest = 8;            // times as large
  constexpr int64_t kMostGpus = 1 << 20;  // as in a cluster's file
  const auto fullest_stage = [&run](const Parallel& p) {
    const int stages = p.pp * p.vpp;
    return (run.model.layers() + stages - 1) / stages;
  };
  std::vector<PlanChoice> choices;
  for (const AxisSize& axis : kAxisSizes) {
    const int now = run.plan.parallel.*axis.size;
    PlanChoice choice{"", run};
    Parallel& p = choice.run.plan.parallel;
    if (axis.size == &Parallel::pp) choice.run.plan.stage_layers = {};
    for (int size = now + 1; size <= kFurthest * now && p.gpus() <= kMostGpus; ++size) {
      p.*axis.size = size;
      if (axis.size == &Parallel::pp && fullest_stage(p) == fullest_stage(run.plan.parallel))
        continue;
      const int per_node = run.cluster.gpus_per_node;
      const int64_t nodes = (p.gpus() + per_node - 1) / per_node;
      const auto grown = Resized(
          run.cluster, static_cast<int>(std::max<int64_t>(run.cluster.gpus, nodes * per_node)));
      if (!grown) continue;
      choice.run.cluster = *grown;
      if (!Passes(choice.run)) continue;
      choice.what = std::string(axis.name) + " " + std::to_string(size);
      choices.push_back(std::move(choice));
      break;
    }
  }
  return choices;
}

std::vector<Marginal> PlanMarginals(const PreparedPhase& phase, StepCache& cache) {
  return {MemoryMarginal(phase, cache), ReplicaMarginal(phase, cache)};
}

}  // namespace moecast
