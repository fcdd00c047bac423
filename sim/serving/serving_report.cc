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

std::vector<ServingShare> BreakdownOf(const ServingCounts& counts, Seconds all) {
  std::vector<ServingShare> rows;
  const auto add = [&](std::string name, Seconds time) {
    if (time / all > 1e-9) rows.push_back({std::move(name), time, time / all});
  };
  for (const auto& [op_class, name] : EnumNames<OpClass>::kNames)
    if (op_class != OpClass::kCollective)
      add(std::string(name), counts.busy.busy[static_cast<size_t>(op_class)]);
  for (const auto& [group, name] : EnumNames<GroupKind>::kNames)
    add("exposed " + std::string(name) + " communication",
        counts.busy.exposed[static_cast<size_t>(group)]);
  add("loading the cache", counts.loading);
  add("swapping the cache", counts.swapping);
  add("engine overhead", counts.overhead);
  add("idle", all - counts.total());
  return rows;
}

// What more throughput would need more of: of what made the queue wait for a tenth of the time and
// more the most, else the largest share of the replicas' time.
std::string LimitOf(const ServingCounts& counts, const std::vector<ServingShare>& breakdown) {
  constexpr const char* kBlocked[] = {"", "max_num_seqs", "max_num_batched_tokens", "kv_cache",
                                      "batching policy"};
  size_t most = 1;
  for (size_t i = 1; i < counts.blocked.size(); ++i)
    if (counts.blocked[i] > counts.blocked[most]) most = i;
  if (counts.blocked[most].value > 0.1 * counts.total().value) return kBlocked[most];
  const auto largest = std::max_element(
      breakdown.begin(), breakdown.end(),
      [](const ServingShare& a, const ServingShare& b) { return a.time < b.time; });
  if (largest == breakdown.end()) return "none";
  return largest->name == "idle" ? "the offered load" : largest->name;
}

// What the pool's memory is, and with the counts of a run what it did.
PoolReport Reported(const ServingRun& run, const Deployment& pool) {
  PoolReport report{.memory = ServingMemoryOf(pool, run.model, run.cluster)};
  if (!report.memory.fits()) report.layouts_that_fit = LayoutsThatFit(pool, run.model, run.cluster);
  report.kv_capacity = report.memory.tokens * pool.parallel.dp * pool.replicas;
  return report;
}
// Says what a run did in the pool; the GPUs of it that are paid for, in the mean over the duration.
double Fill(const ServingCounts& counts, const std::optional<Scaling>& scaling,
            const Deployment& pool, Seconds duration, const IterationCosts& costs,
            PoolReport& report) {
  // Of all replicas together.
  const Seconds all = scaling ? scaling->paid : duration * pool.replicas;
  const double gpus = (duration.value > 0 ? all / duration : pool.replicas) * pool.parallel.gpus();
  report.scaling = scaling;
  report.peak_tokens = counts.peak_blocks * pool.engine.block_size;
  report.preemptions = counts.preemptions;
  report.iterations = counts.iterations;
  report.prompt_tokens = counts.prompt_tokens;
  report.cached_tokens = counts.cached_tokens;
  report.loaded_tokens = counts.loaded_tokens;
  report.swaps = counts.swaps;
  report.swapped_tokens = counts.swapped_tokens;
  report.swapping = counts.swapping;
  report.breakdown = BreakdownOf(counts, all);
  report.limiting_resource = LimitOf(counts, report.breakdown);
  if (counts.iterations == 0) return gpus;
  report.busy = counts.total() / all;
  report.sigma = std::hypot(costs.Sigma(counts.work.mean()), pool.engine.sigma);
  report.extrapolated_fraction = costs.ExtrapolatedFraction(counts.work.mean());
  return gpus;
}

}  // namespace

std::string OneLine(const ServingParallel& p) {
  return "tp " + std::to_string(p.tp) + ", dp " + std::to_string(p.dp) + ", ep " +
         std::to_string(p.ep) + (p.pp > 1 ? ", pp " + std::to_string(p.pp) : "");
}

std::string OneLine(const Deployment& d) {
  const auto text = [](int64_t n) { return std::to_string(n); };
  const auto pool = [&](int replicas, const ServingParallel& p) {
    return text(replicas) + (replicas == 1 ? " replica" : " replicas") + " of " + OneLine(p);
  };
  // What is not as an engine comes.
  const auto batches = [&](const EngineSpec& e) {
    std::string all = (e.preset.empty() ? "" : e.preset + ": ") + e.policy + " batches of " +
                      text(e.max_num_seqs) + " sequences and " + text(e.max_num_batched_tokens) +
                      " tokens a dp rank";
    const auto add = [&](bool is, const std::string& what) {
      if (is) all += ", " + what;
    };
    add(e.num_speculative_tokens > 0,
        text(e.num_speculative_tokens) + " drafted, kept at " + ShowNumber(e.acceptance_rate));
    add(e.enable_dbo, "dual batch overlap");
    add(e.enable_eplb, "EPLB");
    add(e.num_redundant_experts > 0, text(e.num_redundant_experts) + " redundant experts");
    add(e.all_to_all != EngineSpec{}.all_to_all, e.all_to_all + " all-to-all");
    add(!e.cache_tiers.empty(), text(std::ssize(e.cache_tiers)) + " cache tiers below");
    add(e.preemption_mode == PreemptionMode::kSwap, "swapping");
    add(e.enforce_eager, "no CUDA graphs");
    return all;
  };
  std::string line = pool(d.replicas, d.parallel) + "; weights " + std::string(NameOf(d.weights)) +
                     ", KV " + ShowNumber(d.kv_bits) + " bits; " + batches(d.engine);
  if (d.router != Deployment{}.router) line += "; " + d.router;
  const auto scaling = [&](const std::optional<Autoscaling>& a) {
    return !a ? ""
              : "; autoscaling from " + text(a->min_replicas) + " at " +
                    ShowNumber(a->target_requests) + " requests a replica";
  };
  line += scaling(d.autoscaling);
  if (!d.failures.empty())
    line += "; replica failures: " + text(static_cast<int64_t>(d.failures.size()));
  if (d.prefill)
    line += "; prefill apart: " + pool(d.prefill->replicas, d.prefill->parallel) + "; " +
            batches(d.prefill->engine) + scaling(d.prefill->autoscaling);
  return line;
}

Served Serve(const ServingRun& run, ServingCosts& costs, const Slo& slo, const ProgressFn& progress,
             bool record) {
  const Deployment& d = run.deployment;
  Served served;
  ServingReport& report = served.report;
  report = {.name = run.name,
            .model = run.model.name,
            .cluster = run.cluster.name,
            .source = run.source,
            .deployment = d,
            .pool = Reported(run, d),
            .left_out = run.load.left_out,
            .slo = slo};
  if (d.prefill) report.prefill = Reported(run, PrefillPoolOf(d));
  if (!report.fits()) return served;
  served.outcome = Simulate(run, costs, {}, progress, record);
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
  report.run_again = outcome.run_again;
  const double decode_gpus =
      Fill(outcome.counts, outcome.scaling, d, report.duration, costs.iterations(), report.pool);
  const double prefill_gpus =
      d.prefill ? Fill(*outcome.prefill, outcome.prefill_scaling, PrefillPoolOf(d), report.duration,
                       costs.prefill_iterations(), *report.prefill)
                : 0;
  report.mean_gpus = decode_gpus + prefill_gpus;
  // Of two pools the busier one is in the way.
  const bool of_prefill = report.prefill && report.prefill->busy > report.pool.busy;
  report.limiting_resource = (of_prefill ? *report.prefill : report.pool).limiting_resource;
  if (report.prefill)
    report.limiting_resource += of_prefill ? " of the prefill pool" : " of the decode pool";
  report.series = outcome.series;
  if (report.completed == 0) return served;

  // GPUs are paid for while the load lasts; where both go through the same, prompts and answers
  // share that by the time they take.
  const double seconds = report.duration.value;
  const double of_gpu = seconds / 3600 * run.usd_per_gpu_hour;
  const double shared = of_gpu * decode_gpus;
  const Seconds ran = outcome.counts.total();
  const double prompts = ran.value > 0 ? outcome.counts.with_prompts / ran : 0;
  const double of_prompts = shared * prompts + of_gpu * prefill_gpus;
  const auto per_million = [](double usd, double tokens) {
    return tokens > 0 ? usd / tokens * 1e6 : 0;
  };
  report.usd_per_million_input = per_million(of_prompts, report.rates.input_tokens * seconds);
  report.usd_per_million_output =
      per_million(shared * (1 - prompts), report.rates.output_tokens * seconds);

  const auto off = [](double z, const PoolReport& pool) { return std::exp(z * pool.sigma); };
  const auto rates = [&](double z) {
    const Slower slower{off(z, report.pool), off(z, report.first())};
    return RatesOf(run.load, Simulate(run, costs, slower, progress));
  };
  report.slow = rates(NormalQuantile(0.9));
  report.fast = rates(-NormalQuantile(0.9));
  return served;
}

}  // namespace moecast
