// moecast serve SCENARIO: predicts a serving deployment under a load.
#include <charconv>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/named.h"
#include "cli/progress.h"
#include "scenarios/serving_scenario.h"
#include "sim/serving/find.h"
#include "sim/serving/prepare.h"
#include "sim/serving/serving_memory.h"
#include "sim/serving/timeline.h"
#include "traces/chrome_trace.h"
#include "viz/serve_view.h"

namespace moecast {
namespace {

enum class Find { kNothing, kRate, kGpus, kLayout };

}  // namespace

template <>
struct EnumNames<Find> {
  static constexpr EnumName<Find> kNames[] = {
      {Find::kRate, "rate"}, {Find::kGpus, "gpus"}, {Find::kLayout, "layout"}};
};

namespace {

// "p99_ttft_ms=2000".
SloTerm SloTermOf(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const std::vector<LatencyMetric> metrics = LatencyMetrics();
  std::vector<std::string> names;
  for (const LatencyMetric& metric : metrics) names.push_back(metric.name());
  for (size_t i = 0; i < metrics.size(); ++i) {
    if (names[i] != name || equals == std::string::npos) continue;
    double limit = 0;
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + equals + 1, end, limit);
    if (read.ec == std::errc{} && read.ptr == end && limit > 0 && limit < 1e9)
      return {metrics[i], Milliseconds(limit)};
    throw UserError({.file = "--slo",
                     .value = "\"" + Shortened(text) + "\"",
                     .expected = "a number of milliseconds behind " + name + "="});
  }
  const std::vector<std::string_view> known(names.begin(), names.end());
  throw UserError({.file = "--slo",
                   .value = "\"" + Shortened(text) + "\"",
                   .expected = "METRIC=MILLISECONDS, METRIC one of " + Join(known),
                   .hint = Nearest(name, known)});
}

ServingSearch Search(Find find, const ServingRun& run, ServingCosts& costs, const Slo& slo,
                     const ProgressFn& progress) {
  if (find == Find::kLayout) {
    if (run.deployment.prefill)
      throw UserError({.file = "--find",
                       .value = "layout",
                       .expected = "a deployment without a prefill pool: of two pools only the "
                                   "replicas are searched (--find gpus)"});
    return FindLayout(run, slo, progress);
  }
  if (find == Find::kGpus) return FindReplicas(run, costs, slo, progress);
  if (run.load.concurrency || run.load.requests.back().arrival == Time{})
    throw UserError({.file = "--find",
                     .value = "rate",
                     .expected = "a load that arrives over time: in a closed loop, and where all "
                                 "arrive at once, there is no rate to find"});
  return FindRate(run, costs, slo, progress);
}

// Larger traces do not fit where they are looked at, the memory of a browser.
std::string TimelineTextOf(const ServingRun& run, const ServingOutcome& outcome) {
  constexpr size_t kMost = 500000;
  size_t iterations = 0;
  for (const ReplicaRecord& of_replica : outcome.records)
    iterations += of_replica.iterations.size();
  if (iterations + outcome.requests.size() > kMost)
    throw UserError({.file = "--timeline",
                     .value = std::to_string(iterations) + " iterations of " +
                              std::to_string(outcome.requests.size()) + " requests",
                     .expected = "at most " + std::to_string(kMost) +
                                 " of both together; --set load/requests=N simulates the first N"});
  return WriteChromeTrace(TimelineOf(run, outcome));
}

}  // namespace

Action DefineServe(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario, requests, timeline, find;
    std::vector<std::string> sets, slo, print;
    int64_t decode_at = 0;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in serving scenario or the path of a file",
           {.required = true});
  list.Add("--set", o->sets, "overrides a field: serving/parallel/tp=4; may be repeated",
           {.repeated = true});
  list.Add("--slo", o->slo, "limits in ms: p99_ttft_ms=2000,p99_tpot_ms=50",
           {.repeated = true, .delimiter = ','});
  list.Add("--find", o->find,
           "rate: the highest at which the load is held within --slo; gpus: the fewest, in whole "
           "replicas, that hold it; layout: tp, dp, ep and replicas of as many GPUs that serve it "
           "best");
  list.Add(
      "--decode-at", o->decode_at,
      "also show decode alone at this mean context, from one sequence a rank to as many as fit");
  list.Add("--print", o->print, "also show of the mean iteration: ops, costs, blocks",
           {.repeated = true, .delimiter = ','});
  list.Add("--requests", o->requests, "write a row for each request to this CSV file");
  list.Add("--timeline", o->timeline,
           "write iterations, requests and the cache as a trace file for ui.perfetto.dev");
  return [o, &common] {
    const Find find = o->find.empty() ? Find::kNothing : Named<Find>("--find", o->find);
    Slo slo;
    for (const std::string& term : o->slo) slo.push_back(SloTermOf(term));
    std::vector<IterationPart> parts;
    for (const std::string& name : o->print) parts.push_back(Named<IterationPart>("--print", name));
    const ServingScenario scenario = ServingScenario::Load(o->scenario, o->sets, common.seed);
    ServingRun run = scenario.run;
    std::optional<ServingCosts> costs(std::in_place, run);
    std::optional<ProgressLine> line(std::in_place);
    std::optional<ServingSearch> search;
    if (find == Find::kLayout ||
        (find != Find::kNothing && Fits(run.deployment, run.model, run.cluster))) {
      search = Search(find, run, *costs, slo, line->Shower());
      if (search->best) {
        run.deployment = search->best->deployment;
        run.load = search->best->load;
        costs.emplace(run);
      }
    }
    if (o->decode_at < 0 || o->decode_at > run.model.max_position)
      throw UserError({.file = "--decode-at",
                       .value = std::to_string(o->decode_at),
                       .expected = "tokens, at most the model's " +
                                   std::to_string(run.model.max_position) + " positions"});
    const Served served = Serve(run, *costs, slo, line->Shower(), !o->timeline.empty());
    line.reset();
    Json json = ServeJson(served.report);
    std::string text = ServeText(served.report);
    if (search) {
      json["find"] = SearchJson(*search);
      text = SearchText(*search) + "\n" + text;
    }
    if (o->decode_at > 0 && served.report.pool.memory.fits()) {
      const auto curve = DecodeCurve(run, costs->iterations(), o->decode_at);
      json["decode_curve"] = CurveJson(curve);
      text += CurveText(curve, o->decode_at);
    }
    const auto print = [&](const ServingCounts& counts, const IterationCosts& of, Json& to) {
      if (counts.iterations == 0) return;
      for (const IterationPart part : parts) {
        to[std::string(NameOf(part))] = IterationJson(of, counts.work.mean(), part);
        text += IterationText(of, counts.work.mean(), part);
      }
    };
    if (served.outcome.prefill)
      print(*served.outcome.prefill, costs->prefill_iterations(), json["prefill"]);
    print(served.outcome.counts, costs->iterations(), json);
    if (!o->timeline.empty()) WriteFile(o->timeline, TimelineTextOf(run, served.outcome));
    if (!o->requests.empty()) WriteFile(o->requests, RequestsCsv(run, served.outcome));
    Emit(common, json, text);
  };
}

}  // namespace moecast
