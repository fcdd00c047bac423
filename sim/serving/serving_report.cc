#include "sim/serving/serving_report.h"

#include <algorithm>
#include <cmath>

#include "base/quantity_text.h"
#include "base/random.h"

namespace moecast {
namespace {

bool Completed(const RequestOutcome& request) {
  return request.how == RequestEnd::kCompleted;
}

std::vector<ServingShare> BreakdownOf(const ServingOutcome& outcome, Seconds all) {
  std::vector<ServingShare> rows;
  const auto add = [&](std::string name, Seconds time) {
    if (time.value > 0) rows.push_back({std::move(name), time, time / all});
  };
  for (const auto& [op_class, name] : EnumNames<OpClass>::kNames)
    if (op_class != OpClass::kCollective)
      add(std::string(name), outcome.busy.busy[static_cast<size_t>(op_class)]);
  for (const auto& [group, name] : EnumNames<GroupKind>::kNames)
    add("exposed " + std::string(name) + " communication",
        outcome.busy.exposed[static_cast<size_t>(group)]);
  add("engine overhead", outcome.overhead);
  add("idle", all - outcome.total());
  return rows;
}

// What more throughput would need more of: of what made the queue wait for a tenth of the time and
// more the most, else the largest share of the replicas' time.
std::string LimitOf(const ServingOutcome& outcome, const std::vector<ServingShare>& breakdown) {
  constexpr const char* kBlocked[] = {"", "max_num_seqs", "max_num_batched_tokens", "kv_cache",
                                      "batching policy"};
  size_t most = 1;
  for (size_t i = 1; i < outcome.blocked.size(); ++i)
    if (outcome.blocked[i] > outcome.blocked[most]) most = i;
  if (outcome.blocked[most].value > 0.1 * outcome.total().value) return kBlocked[most];
  const auto largest = std::max_element(
      breakdown.begin(), breakdown.end(),
      [](const ServingShare& a, const ServingShare& b) { return a.time < b.time; });
  if (largest == breakdown.end()) return "none";
  return largest->name == "idle" ? "the offered load" : largest->name;
}

}  // namespace

std::string OneLine(const Deployment& d) {
  const EngineSpec& e = d.engine;
  const auto text = [](int64_t n) { return std::to_string(n); };
  return text(d.replicas) + (d.replicas == 1 ? " replica" : " replicas") + " of tp " +
         text(d.parallel.tp) + ", dp " + text(d.parallel.dp) + ", ep " + text(d.parallel.ep) +
         "; weights " + std::string(NameOf(d.weights)) + ", KV " + ShowNumber(d.kv_bits) +
         " bits; " + e.policy + " batches of " + text(e.max_num_seqs) + " sequences and " +
         text(e.max_num_batched_tokens) + " tokens a dp rank";
}

Served Serve(const ServingRun& run, IterationCosts& costs, const Slo& slo) {
  const Deployment& d = run.deployment;
  Served served;
  ServingReport& report = served.report;
  report = {.name = run.name,
            .model = run.model.name,
            .cluster = run.cluster.name,
            .source = run.source,
            .deployment = d,
            .memory = ServingMemoryOf(d, run.model, run.cluster),
            .left_out = run.load.left_out,
            .slo = slo};
  if (!report.memory.fits()) return served;
  served.outcome = Simulate(run, costs);
  const ServingOutcome& outcome = served.outcome;
  report.rates = RatesOf(run.load, outcome);
  report.meets_slo = Meets(report.rates, slo);
  report.goodput = GoodputOf(run.load, outcome, slo);
  report.duration = (outcome.end - outcome.begin).seconds();
  for (const RequestOutcome& request : outcome.requests) {
    report.completed += Completed(request);
    report.too_long += request.how == RequestEnd::kTooLong;
    report.never_fits += request.how == RequestEnd::kNeverFits;
  }
  report.stable = IsStable(run.load, outcome);
  report.waiting_left = outcome.waiting_left;
  report.preemptions = outcome.preemptions;
  report.iterations = outcome.iterations;
  report.peak_tokens = outcome.peak_blocks * d.engine.block_size;
  report.kv_capacity = report.memory.tokens * d.parallel.dp * d.replicas;
  const Seconds all = report.duration * d.replicas;
  report.breakdown = BreakdownOf(outcome, all);
  report.limiting_resource = LimitOf(outcome, report.breakdown);
  report.series = outcome.series;
  if (report.completed == 0) return served;

  // GPUs are paid for while the load lasts; prompts and answers share that by the time they take.
  const double cost = report.duration.value / 3600 * d.gpus() * run.usd_per_gpu_hour;
  const double prompts = outcome.with_prompts / outcome.total();
  const double seconds = report.duration.value;
  const auto per_million = [](double usd, double tokens) {
    return tokens > 0 ? usd / tokens * 1e6 : 0;
  };
  report.usd_per_million_input = per_million(cost * prompts, report.rates.input_tokens * seconds);
  report.usd_per_million_output =
      per_million(cost * (1 - prompts), report.rates.output_tokens * seconds);

  report.sigma = costs.Sigma(outcome.typical);
  const double off = std::exp(NormalQuantile(0.9) * report.sigma);
  report.slow = RatesOf(run.load, Simulate(run, costs, off));
  report.fast = RatesOf(run.load, Simulate(run, costs, 1 / off));
  return served;
}

}  // namespace moecast
