// moecast validate [training, dense, schedules, memory, operators, network, serving]: every claim
// the project knows of, published beside predicted.
#include <algorithm>
#include <map>
#include <memory>

#include "base/check.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/predict.h"
#include "scenarios/calibrate/whole_step_fit.h"
#include "scenarios/calibration_loader.h"
#include "scenarios/claims/claims.h"
#include "scenarios/claims/memory_claims.h"
#include "scenarios/claims/network_claims.h"
#include "scenarios/claims/operator_claims.h"
#include "scenarios/claims/pipeline_claims.h"
#include "scenarios/claims/serving_claims.h"
#include "scenarios/cluster_loader.h"
#include "scenarios/serving_scenario.h"
#include "sim/pipeline/pipeline.h"
#include "sim/serving/decode_curve.h"
#include "sim/serving/prepare.h"
#include "sim/serving/serving_report.h"
#include "viz/claims_view.h"
#include "viz/serve_view.h"

namespace moecast {
namespace {

// What a prediction of a whole step rests on.
enum class Basis : uint8_t {
  kKernels,    // kernels and links alone
  kWholeStep,  // and the two scalars of WholeStep
  kEra,        // and one factor that makes the run used for fitting come out as published
};
constexpr std::pair<Basis, const char*> kBases[] = {
    {Basis::kKernels, "kernels"}, {Basis::kWholeStep, "whole step"}, {Basis::kEra, "era"}};

// GPU-hours per trillion tokens by sample, each distinct prediction made once.
class TrainingSamples {
 public:
  TrainingSamples(const CommonOptions& common, const Claim& era) : common_(common), era_(era) {}

  std::vector<double> Of(const std::string& scenario, Basis basis) {
    if (basis != Basis::kEra) return Predicted(scenario, basis);
    // Sample by sample: what a scenario shares with the fitted one errs alike in both.
    std::vector<double> samples = Predicted(scenario, Basis::kWholeStep);
    const std::vector<double>& fitted = Predicted(era_.scenario, Basis::kWholeStep);
    for (size_t i = 0; i < samples.size(); ++i) samples[i] *= era_.published / fitted[i];
    return samples;
  }

 private:
  const std::vector<double>& Predicted(const std::string& scenario, Basis basis) {
    std::vector<double>& s = samples_[{scenario, basis}];
    if (!s.empty()) return s;
    std::vector<std::string> sets;
    if (basis == Basis::kKernels) sets = {R"(whole_step={"sustained":1,"gap":"0s","sigma":0})"};
    const Prediction p = PredictTraining(Scenario::Load(scenario, sets), {.seed = common_.seed});
    for (const Draw& d : p.forecast.draws) s.push_back(d.headlines.gpu_hours_per_trillion_tokens);
    return s;
  }

  const CommonOptions& common_;
  const Claim& era_;
  std::map<std::pair<std::string, Basis>, std::vector<double>> samples_;
};

std::vector<ClaimResult> ValidateTraining(const CommonOptions& common) {
  const std::vector<Claim> claims = LoadClaims("training");
  const auto era =
      std::find_if(claims.begin(), claims.end(), [](const Claim& c) { return c.used_for_fitting; });
  MOECAST_CHECK(era != claims.end());
  const std::string era_stack = Scenario::Load(era->scenario, {}).spec().stack;
  TrainingSamples samples(common, *era);
  std::vector<ClaimResult> results;
  for (const Claim& c : claims) {
    for (const auto& [basis, name] : kBases) {
      // The factor is of the software of one stack.
      if (basis == Basis::kEra && Scenario::Load(c.scenario, {}).spec().stack != era_stack)
        continue;
      ClaimResult r{.name = c.name,
                    .quantity = c.quantity,
                    .relation = c.relation,
                    .source = c.source,
                    .basis = name,
                    .published = c.published,
                    .used_for_fitting = c.used_for_fitting && basis == Basis::kEra};
      std::vector<double> predicted = samples.Of(c.scenario, basis);
      if (!c.baseline.empty()) {
        const std::vector<double> baseline = samples.Of(c.baseline, basis);
        for (size_t i = 0; i < predicted.size(); ++i)
          predicted[i] = 100 * (1 - predicted[i] / baseline[i]);
      }
      r.predicted = IntervalOf(std::move(predicted));
      results.push_back(std::move(r));
    }
  }
  return results;
}

std::vector<ClaimResult> ValidateDense(const CommonOptions&) {
  std::vector<ClaimResult> results;
  for (const DenseRun& run : FitWholeStep().runs) {
    const auto add = [&](const char* basis, double predicted, bool fitted) {
      results.push_back({.name = run.claim.name,
                         .quantity = run.claim.quantity,
                         .relation = run.claim.relation,
                         .source = run.claim.source,
                         .basis = basis,
                         .published = run.claim.published,
                         .predicted = {predicted, predicted, predicted},
                         .used_for_fitting = fitted});
    };
    add("kernels", run.kernels, false);
    add("whole step", run.fitted, true);
    add("left out", run.left_out, false);
  }
  return results;
}

std::vector<ClaimResult> ValidateSchedules(const CommonOptions&) {
  std::vector<ClaimResult> results;
  for (const PipelineClaim& c : LoadPipelineClaims()) {
    const PipelineSchedule& schedule = *FindPipelineSchedule(c.schedule);
    const TrainingSchedule lowered = LowerPipeline(schedule, c.shape, schedule.build(c.shape));
    Timing timing;
    const Time transfer[] = {c.shape.transfer};
    Retimer(lowered).Run(PipelineDurations(schedule, c.shape), transfer, timing);
    const double rate = Summarize(c.shape, lowered, timing).bubble_rate;
    results.push_back({.name = c.name,
                       .quantity = "bubble_rate",
                       .relation = "=",
                       .source = c.source,
                       .published = c.bubble_rate,
                       .predicted = {rate, rate, rate}});
  }
  return results;
}

std::vector<ClaimResult> ValidateMemory(const CommonOptions&) {
  std::vector<ClaimResult> results;
  for (const MemoryClaim& c : LoadMemoryClaims()) {
    StepCache cache;
    const PreparedRun run(c.run, cache);
    const double peak = run.step(0).memory[c.stage].allocated() / GiB(1);
    results.push_back({.name = c.name,
                       .quantity = "peak_allocated_GiB",
                       .relation = "=",
                       .source = c.source,
                       .published = c.peak / GiB(1),
                       .predicted = {peak, peak, peak}});
  }
  return results;
}

std::vector<ClaimResult> ValidateOperators(const CommonOptions&) {
  std::map<std::pair<std::string, std::string>, Calibration> calibrations;  // by device and stack
  std::vector<ClaimResult> results;
  for (const OperatorClaim& c : LoadOperatorClaims()) {
    auto at = calibrations.find({c.device, c.stack});
    if (at == calibrations.end())
      at =
          calibrations
              .emplace(std::pair(c.device, c.stack), LoadCalibration(LoadDevice(c.device), c.stack))
              .first;
    results.push_back({.name = c.name,
                       .quantity = std::string(NameOf(c.quantity)),
                       .relation = "=",
                       .source = c.source,
                       .published = c.published,
                       .predicted = Predict(c, at->second),
                       .used_for_fitting = c.used_for_fitting});
  }
  return results;
}

std::vector<ClaimResult> ValidateNetwork(const CommonOptions&) {
  std::map<std::string, Cluster> clusters;
  std::vector<ClaimResult> results;
  for (const NetworkClaim& c : LoadNetworkClaims()) {
    auto at = clusters.find(c.cluster);
    if (at == clusters.end()) at = clusters.emplace(c.cluster, LoadCluster(c.cluster)).first;
    const NetworkPrediction p = Predict(c, at->second);
    const Seconds us = Microseconds(1);
    results.push_back(
        {.name = c.name,
         .quantity = "time_us",
         .relation = "=",
         .source = c.source,
         .basis = c.family + (c.used_for_fitting ? ", fitted" : ""),
         .published = c.published / us,
         .predicted = {p.time.p10 / us.value, p.time.p50 / us.value, p.time.p90 / us.value},
         .used_for_fitting = c.used_for_fitting});
  }
  return results;
}

// The member at a path of keys, "kv/bytes_per_token"; null where there is none.
const Json* At(const Json& json, std::string_view path) {
  const size_t end = path.find('/');
  const Json* member = json.is_object() ? json.find(path.substr(0, end)) : json.end();
  if (member == json.end()) return nullptr;
  return end == std::string_view::npos ? member : At(*member, path.substr(end + 1));
}

// What `moecast serve --json` writes, each distinct run made once.
class ServedJson {
 public:
  explicit ServedJson(const CommonOptions& common) : common_(common) {}

  // The number a claim is about, with its interval where it has one.
  Interval Of(const ServeArguments& of, const std::string& quantity) {
    constexpr std::string_view kDecodeAt = "decode_at/";
    const bool decodes = quantity.starts_with(kDecodeAt);
    const std::string leaf = decodes ? quantity.substr(quantity.rfind('/') + 1) : quantity;
    const Json& json =
        decodes ? DecodeOf(of, std::stoll(quantity.substr(kDecodeAt.size()))) : Of(of);
    const Json* interval = At(json, "model_interval/" + leaf);
    if (interval && interval->is_object())
      return {.p10 = (*interval)["p10"].get<double>(),
              .p50 = (*interval)["p50"].get<double>(),
              .p90 = (*interval)["p90"].get<double>()};
    const Json* number = At(json, leaf);
    if (!number || !number->is_number())
      throw UserError({.file = "claims/serving.csv",
                       .value = quantity,
                       .expected = "a number that moecast serve " + of.text() + " gives"});
    const auto value = number->get<double>();
    return {.p10 = value, .p50 = value, .p90 = value};
  }

 private:
  // The last point of the curve: null where the cache does not hold one sequence.
  const Json& DecodeOf(const ServeArguments& of, int64_t context) {
    const auto [at, fresh] = served_.try_emplace(of.text() + " at " + std::to_string(context));
    if (fresh) {
      const ServingRun run = ServingScenario::Load(of.scenario, of.sets, common_.seed).run;
      ServingCosts costs(run);
      const Json curve = CurveJson(DecodeCurve(run, costs.iterations(), context));
      if (!curve.empty()) at->second = curve[curve.size() - 1];
    }
    return at->second;
  }

  const Json& Of(const ServeArguments& of) {
    const auto [at, fresh] = served_.try_emplace(of.text());
    if (fresh) {
      const ServingRun run = ServingScenario::Load(of.scenario, of.sets, common_.seed).run;
      ServingCosts costs(run);
      at->second = ServeJson(Serve(run, costs).report);
      at->second.erase("series");
    }
    return at->second;
  }

  const CommonOptions& common_;
  std::map<std::string, Json> served_;
};

// By how many percent a quantity is less than it is in the baseline.
Interval LessThan(const Interval& baseline, const Interval& x) {
  const auto less = [](double part, double whole) { return 100 * (1 - part / whole); };
  return {.p10 = less(x.p90, baseline.p10),
          .p50 = less(x.p50, baseline.p50),
          .p90 = less(x.p10, baseline.p90)};
}

// Mean contexts were never published, so the paper's ratio is looked at from both ends: where the
// baseline makes what the ratio says of it, and what V2 makes there; and where V2 makes what it is
// said to. And what V2 makes at the 32K that an author named as the context (DeepSeek-V2, issue
// 21). Decode alone.
void AddContexts(const CommonOptions& common, std::vector<ClaimResult>& results) {
  constexpr double kV2 = 50000, kRatio = 5.76;
  constexpr char kSource[] = "arXiv 2405.04434, section 3.2.3; mean context not published";
  const auto load = [&](const char* name) {
    return ServingScenario::Load(name, {}, common.seed).run;
  };
  const ServingRun v2 = load("deepseek-v2-serve-h800"), dense = load("deepseek-67b-serve-h800");
  ServingCosts v2_costs(v2), dense_costs(dense);
  const auto add = [&](const ServingRun& run, ServingCosts& costs, double wanted,
                       std::optional<int64_t> context, const std::string& where) {
    if (!context) return;
    const auto curve = DecodeCurve(run, costs.iterations(), *context);
    const double made = curve.empty() ? 0 : curve.back().output_throughput;
    results.push_back(
        {.name = run.name + " decoding at " + std::to_string(*context) + " tokens, " + where,
         .quantity = "output_throughput",
         .relation = "=",
         .source = kSource,
         .basis = "decode",
         .kind = "throughput",
         .published = wanted,
         .predicted = {made, made, made}});
  };
  const auto of_67b = LongestContextFor(dense, dense_costs.iterations(), kV2 / kRatio);
  add(dense, dense_costs, kV2 / kRatio, of_67b, "the longest that reaches it");
  add(v2, v2_costs, kV2, of_67b, "where 67B reaches 8,680");
  add(v2, v2_costs, kV2, LongestContextFor(v2, v2_costs.iterations(), kV2),
      "the longest that reaches it");
  constexpr int64_t kNamed = 32768;
  const auto curve = DecodeCurve(v2, v2_costs.iterations(), kNamed);
  if (curve.empty()) return;
  const DecodePoint& point = curve.back();
  add(v2, v2_costs, kV2, kNamed,
      std::to_string(point.sequences) + " a rank, " +
          (point.sequences < v2.deployment.engine.max_num_seqs ? "all the cache holds"
                                                               : "its most") +
          "; most time in " + std::string(NameOf(point.longest)));
}

std::vector<ClaimResult> ValidateServing(const CommonOptions& common) {
  std::vector<ClaimResult> results;
  ServedJson served(common);
  for (const ServingClaim& c : LoadServingClaims()) {
    Interval predicted = served.Of(c.of, c.quantity);
    if (!c.baseline.scenario.empty())
      predicted = LessThan(served.Of(c.baseline, c.quantity), predicted);
    const std::string_view kind = KindOfQuantity(c.quantity);
    results.push_back({.name = c.name,
                       .quantity = c.quantity,
                       .relation = c.relation,
                       .source = c.source,
                       .basis = c.set + (c.used_for_fitting ? ", fitted" : ""),
                       .kind = std::string(kind),
                       .aim_percent = AimOf(c.set, kind),
                       .published = c.published,
                       .predicted = predicted,
                       .used_for_fitting = c.used_for_fitting});
  }
  AddContexts(common, results);
  return results;
}

struct Suite {
  std::string_view name;
  std::vector<ClaimResult> (*run)(const CommonOptions&);
};
constexpr Suite kSuites[] = {{"training", ValidateTraining},   {"dense", ValidateDense},
                             {"schedules", ValidateSchedules}, {"memory", ValidateMemory},
                             {"operators", ValidateOperators}, {"network", ValidateNetwork},
                             {"serving", ValidateServing}};

}  // namespace

Action DefineValidate(OptionList list, const CommonOptions& common) {
  const auto names = std::make_shared<std::vector<std::string>>();
  list.Add(
      "suite", *names,
      "training, dense, schedules, memory, operators, network, serving; all where none is named");
  return [names, &common] {
    std::vector<std::string_view> valid;
    for (const Suite& s : kSuites) valid.push_back(s.name);
    for (const std::string& name : *names)
      if (std::find(valid.begin(), valid.end(), name) == valid.end())
        throw UserError({.file = "moecast validate",
                         .value = "\"" + Shortened(name) + "\"",
                         .expected = "any of " + Join(valid),
                         .hint = Nearest(name, valid)});
    std::vector<ClaimResult> results;
    for (const Suite& s : kSuites) {
      if (!names->empty() && std::find(names->begin(), names->end(), s.name) == names->end())
        continue;
      for (ClaimResult& r : s.run(common)) results.push_back(std::move(r));
    }
    Emit(common, ClaimsJson(results), ClaimsText(results));
  };
}

}  // namespace moecast
