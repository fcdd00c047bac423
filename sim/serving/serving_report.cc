#include "sim/serving/serving_report.h"

#include <algorithm>
#include <cmath>

#include "base/quantity_text.h"
#include "base/random.h"

namespace moecast {
namespace {

// Of values with counts, ascending: the least that so many of them do not exceed.
Seconds Quantile(const std::vector<TokenGap>& sorted, double all, double part) {
  double below = 0;
  for (const TokenGap& value : sorted) {
    below += static_cast<double>(value.count);
    if (below >= part * all) return value.gap.seconds();
  }
  return sorted.empty() ? Seconds(0) : sorted.back().gap.seconds();
}

LatencyStats StatsOf(const std::vector<TokenGap>& sorted) {
  double all = 0, sum = 0;
  for (const TokenGap& value : sorted) {
    all += static_cast<double>(value.count);
    sum += static_cast<double>(value.count) * value.gap.seconds().value;
  }
  if (all == 0) return {};
  return {.mean = Seconds(sum / all),
          .median = Quantile(sorted, all, 0.5),
          .p90 = Quantile(sorted, all, 0.9),
          .p99 = Quantile(sorted, all, 0.99)};
}

LatencyStats StatsOf(std::vector<Time> values) {
  std::sort(values.begin(), values.end());
  std::vector<TokenGap> sorted;
  for (const Time value : values) sorted.push_back({value, 1});
  return StatsOf(sorted);
}

bool Completed(const RequestOutcome& request) {
  return request.how == RequestEnd::kCompleted;
}

// A queue that only chance has made grows with the square root of the arrivals; one that grows with
// their number is a load that is not held. Three deviations and 2% are let pass.
bool IsStable(const ServingRun& run, const ServingOutcome& outcome) {
  if (run.load.concurrency) return true;
  const auto arrivals = static_cast<double>(outcome.requests.size());
  return static_cast<double>(outcome.waiting_left) <= 0.02 * arrivals + 3 * std::sqrt(arrivals);
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

ServingRates RatesOf(const ServingRun& run, const ServingOutcome& outcome) {
  ServingRates rates;
  std::vector<Time> ttft, tpot, e2el;
  double input = 0, output = 0;
  for (size_t i = 0; i < outcome.requests.size(); ++i) {
    const RequestOutcome& request = outcome.requests[i];
    if (!Completed(request)) continue;
    const Request& asked = run.load.requests[i];
    input += static_cast<double>(asked.input_tokens);
    output += static_cast<double>(asked.output_tokens);
    ttft.push_back(request.first_token - request.arrival);
    e2el.push_back(request.end - request.arrival);
    if (asked.output_tokens > 1)
      tpot.push_back({(request.end - request.first_token).ps / (asked.output_tokens - 1)});
  }
  const double duration = (outcome.end - outcome.begin).seconds().value;
  if (duration > 0) {
    rates.requests = static_cast<double>(ttft.size()) / duration;
    rates.input_tokens = input / duration;
    rates.output_tokens = output / duration;
  }
  rates.ttft = StatsOf(std::move(ttft));
  rates.tpot = StatsOf(std::move(tpot));
  rates.e2el = StatsOf(std::move(e2el));
  rates.itl = StatsOf(outcome.gaps);
  return rates;
}

Served Serve(const ServingRun& run, IterationCosts& costs) {
  const Deployment& d = run.deployment;
  Served served;
  ServingReport& report = served.report;
  report = {.name = run.name,
            .model = run.model.name,
            .cluster = run.cluster.name,
            .deployment = OneLine(d),
            .gpus = d.gpus(),
            .memory = ServingMemoryOf(d, run.model, run.cluster),
            .left_out = run.load.left_out};
  if (!report.memory.fits()) return served;
  served.outcome = Simulate(run, costs);
  const ServingOutcome& outcome = served.outcome;
  report.rates = RatesOf(run, outcome);
  report.duration = (outcome.end - outcome.begin).seconds();
  for (const RequestOutcome& request : outcome.requests) {
    report.completed += Completed(request);
    report.too_long += request.how == RequestEnd::kTooLong;
    report.never_fits += request.how == RequestEnd::kNeverFits;
  }
  report.stable = IsStable(run, outcome);
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
  const double cost = report.duration.value / 3600 * report.gpus * run.usd_per_gpu_hour;
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
  report.slow = RatesOf(run, Simulate(run, costs, off));
  report.fast = RatesOf(run, Simulate(run, costs, 1 / off));
  return served;
}

}  // namespace moecast
