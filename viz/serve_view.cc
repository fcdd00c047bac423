#include "viz/serve_view.h"

#include <cmath>

#include "base/fields.h"
#include "base/interval.h"
#include "base/quantity_text.h"
#include "viz/ops_view.h"
#include "viz/table.h"

namespace moecast {
namespace {

// Between the slow and the fast end of the prediction's error.
template <class Metric>
Interval Between(const ServingReport& r, Metric metric) {
  const double slow = metric(r.slow), fast = metric(r.fast);
  return {.p10 = std::min(slow, fast), .p50 = metric(r.rates), .p90 = std::max(slow, fast)};
}

Json Printed(const Interval& i) {
  return {{"p10", i.p10}, {"p50", i.p50}, {"p90", i.p90}};
}

std::string Milliseconds3(double s) {
  return Printf("%.3g ms", s * 1e3);
}

std::string MemoryText(const PoolReport& r, const std::string& of) {
  const ServingMemory& m = r.memory;
  std::string text = "\nmemory of a GPU" + of + "\n" +
                     Aligned({{"the engine's", ShowBytes(m.usable)},
                              {"weights", ShowBytes(m.weights)},
                              {"activations", ShowBytes(m.activations)},
                              {"runtime", ShowBytes(m.runtime)},
                              {m.fits() ? "KV cache" : "left", ShowBytes(m.kv)}},
                             "lr");
  if (m.fits())
    text += Printf("  %s tokens of %s in the cache of a dp rank, %s at most used\n",
                   Thousands(m.tokens).c_str(), ShowBytes(m.kv_per_token).c_str(),
                   Thousands(r.peak_tokens).c_str());
  if (r.preemptions > r.swaps)
    text += Printf("  %s sequences gave way and were computed again\n",
                   Thousands(r.preemptions - r.swaps).c_str());
  if (r.swaps > 0)
    text +=
        Printf("  %s sequences gave way, their %s tokens copied to host memory and back in %s\n",
               Thousands(r.swaps).c_str(), Thousands(r.swapped_tokens).c_str(),
               ShowSeconds(r.swapping).c_str());
  return text;
}

// visit(pool, of): each pool, and what it is called where there are two.
template <class Visit>
void EachPool(const ServingReport& r, Visit visit) {
  if (r.prefill) visit(*r.prefill, std::string(" of the prefill pool"));
  visit(r.pool, std::string(r.prefill ? " of the decode pool" : ""));
}

std::string MemoryTexts(const ServingReport& r) {
  std::string text;
  EachPool(r, [&](const PoolReport& pool, const std::string& of) { text += MemoryText(pool, of); });
  return text;
}

void AddMemory(const PoolReport& r, Json& j) {
  const ServingMemory& m = r.memory;
  j["memory"] = {
      {"usable_bytes", m.usable.value},           {"weights_bytes", m.weights.value},
      {"activations_bytes", m.activations.value}, {"runtime_bytes", m.runtime.value},
      {"kv_bytes", std::max(0.0, m.kv.value)},    {"over_bytes", std::max(0.0, -m.kv.value)}};
  j["kv"] = {{"bytes_per_token", m.kv_per_token.value},
             {"capacity_tokens", r.kv_capacity},
             {"capacity_tokens_per_rank", m.tokens},
             {"peak_tokens", r.peak_tokens}};
}

void AddRun(const PoolReport& r, Json& j) {
  j["prefix_cache"] = {{"prompt_tokens", r.prompt_tokens},
                       {"cached_tokens", r.cached_tokens},
                       {"loaded_tokens", r.loaded_tokens}};
  j["preemptions"] = r.preemptions;
  j["swapping"] = {
      {"sequences", r.swaps}, {"tokens", r.swapped_tokens}, {"seconds", r.swapping.value}};
  j["iterations"] = r.iterations;
  j["busy_fraction"] = r.busy;
  j["extrapolated_fraction"] = r.extrapolated_fraction;
  j["breakdown"] = Json::array();
  for (const ServingShare& row : r.breakdown)
    j["breakdown"].push_back(
        {{"name", row.name}, {"seconds", row.time.value}, {"fraction", row.fraction}});
}

}  // namespace

Json ServeJson(const ServingReport& r) {
  Json j = {{"scenario", r.name}, {"model", r.model}, {"cluster", r.cluster}};
  j["deployment"] = FieldsOf(&r.deployment).Print(r.deployment);
  j["deployment_text"] = OneLine(r.deployment);
  j["gpus"] = r.deployment.gpus();
  j["source"] = r.source;
  j["fits"] = r.fits();
  AddMemory(r.pool, j);
  if (r.prefill) AddMemory(*r.prefill, j["prefill"]);
  const auto add_layouts = [](const PoolReport& pool, Json& to) {
    for (const ServingParallel& p : pool.layouts_that_fit)
      to["layouts_that_fit"].push_back(FieldsOf(&p).Print(p));
  };
  add_layouts(r.pool, j);
  if (r.prefill) add_layouts(*r.prefill, j["prefill"]);
  if (!r.fits()) return j;
  j["stable"] = r.stable;
  j["waiting_left"] = r.waiting_left;
  j["run_again"] = r.run_again;
  const auto add_scaling = [&](const PoolReport& pool, Json& to) {
    if (!pool.scaling) return;
    j["mean_gpus"] = r.mean_gpus;
    for (const ReplicaCount& count : pool.scaling->counts)
      to["replicas"].push_back(
          {{"time_s", count.at.seconds().value}, {"replicas", count.replicas}});
  };
  add_scaling(r.pool, j);
  if (r.prefill) add_scaling(*r.prefill, j["prefill"]);
  j["limiting_resource"] = r.limiting_resource;
  j["duration_s"] = r.duration.value;
  j["completed"] = r.completed;
  j["rejected"] = r.too_long + r.never_fits;
  j["rejected_too_long"] = r.too_long;
  j["rejected_never_fits"] = r.never_fits;
  j["left_out"] = r.left_out;
  for (const Throughput& t : Throughputs()) j[std::string(t.name)] = r.rates.*t.rate;
  j["total_token_throughput"] = r.rates.input_tokens + r.rates.output_tokens;
  j["output_throughput_per_gpu"] = r.rates.output_tokens / r.mean_gpus;
  Json interval = Json::object();
  for (const Throughput& t : Throughputs())
    interval[std::string(t.name)] =
        Printed(Between(r, [&](const ServingRates& rates) { return rates.*t.rate; }));
  for (const LatencyMetric& latency : LatencyMetrics()) {
    const auto metric = [&](const ServingRates& rates) { return latency.In(rates).value * 1e3; };
    j[latency.name()] = metric(r.rates);
    interval[latency.name()] = Printed(Between(r, metric));
  }
  j["model_interval"] = interval;
  j["slo"] = Json::array();
  for (const SloTerm& term : r.slo)
    j["slo"].push_back({{"metric", term.metric.name()},
                        {"limit_ms", term.limit.value * 1e3},
                        {"met", Meets(r.rates, {term})}});
  j["meets_slo"] = r.meets_slo;
  j["request_goodput"] = r.goodput;
  j["cost_usd_per_million_input_tokens"] = r.usd_per_million_input;
  j["cost_usd_per_million_output_tokens"] = r.usd_per_million_output;
  AddRun(r.pool, j);
  if (r.prefill) {
    AddRun(*r.prefill, j["prefill"]);
    j["prefill"]["limiting_resource"] = r.prefill->limiting_resource;
  }
  j["series"] = Json::array();
  for (const ServingSample& s : r.series)
    j["series"].push_back({{"time_s", s.at.seconds().value},
                           {"waiting", s.waiting},
                           {"running", s.running},
                           {"kv_blocks", s.kv_blocks}});
  return j;
}

std::string ServeText(const ServingReport& r) {
  const int gpus = r.deployment.gpus();
  std::string out =
      Printf("%s: %s on %d GPU%s of %s\n  %s\n", r.name.c_str(), r.model.c_str(), gpus,
             gpus == 1 ? "" : "s", r.cluster.c_str(), OneLine(r.deployment).c_str());
  if (!r.source.empty()) out += "  " + r.source + "\n";
  out += "\n";
  if (!r.fits()) {
    EachPool(r, [&](const PoolReport& pool, const std::string& of) {
      if (pool.memory.fits()) return;
      out += "does not fit: " + ShowBytes(Bytes(-pool.memory.kv.value)) + " more than a GPU" + of +
             " has, before any KV cache\n";
      std::string layouts;
      for (const ServingParallel& p : pool.layouts_that_fit)
        layouts += (layouts.empty() ? "" : "; or ") + OneLine(p);
      out += layouts.empty() ? "no layout fits on " + r.cluster + "\n"
                             : "what fits on the fewest GPUs: " + layouts + "\n";
    });
    return out + MemoryTexts(r);
  }
  out += r.stable ? "the load is held; more would meet " + r.limiting_resource + "\n"
                  : Printf(
                        "the load is NOT held: %s requests wait when the last arrives; the limit "
                        "is %s\n",
                        Thousands(r.waiting_left).c_str(), r.limiting_resource.c_str());
  out += Printf("  %s requests in %s", Thousands(r.completed).c_str(),
                ShowSeconds(r.duration).c_str());
  if (r.too_long + r.never_fits > 0)
    out += Printf(", %s rejected (%s longer than the model takes, %s than the cache holds)",
                  Thousands(r.too_long + r.never_fits).c_str(), Thousands(r.too_long).c_str(),
                  Thousands(r.never_fits).c_str());
  if (!r.deployment.failures.empty())
    out += Printf(", %s run again after a replica failed", Thousands(r.run_again).c_str());
  bool scales = false;
  EachPool(r, [&](const PoolReport& pool, const std::string& of) {
    if (!pool.scaling) return;
    const auto fewer = [](const ReplicaCount& a, const ReplicaCount& b) {
      return a.replicas < b.replicas;
    };
    const auto [least, most] =
        std::minmax_element(pool.scaling->counts.begin(), pool.scaling->counts.end(), fewer);
    out += Printf(", %d to %d replicas%s", least->replicas, most->replicas, of.c_str());
    scales = true;
  });
  if (scales) out += Printf(", %.4g GPUs in the mean", r.mean_gpus);
  out += "\n";
  if (r.completed == 0) return out + MemoryTexts(r);
  Rows rows = {{"", "p10", "p50", "p90"}};
  for (const Throughput& t : Throughputs()) {
    const Interval i = Between(r, [&](const ServingRates& rates) { return rates.*t.rate; });
    rows.push_back(
        {std::string(t.help), Printf("%.4g", i.p10), Printf("%.4g", i.p50), Printf("%.4g", i.p90)});
  }
  for (const LatencyMetric& m : LatencyMetrics()) {
    if (m.stat->name != "median" && m.stat->name != "p99") continue;
    const Interval i = Between(r, [&](const ServingRates& rates) { return m.In(rates).value; });
    rows.push_back({std::string(m.latency->help) + ", " + std::string(m.stat->name),
                    Milliseconds3(i.p10), Milliseconds3(i.p50), Milliseconds3(i.p90)});
  }
  out += Aligned(rows, "l");
  for (const SloTerm& term : r.slo)
    out +=
        Printf("  %s at most %s: %s\n", term.metric.name().c_str(),
               Milliseconds3(term.limit.value).c_str(), Meets(r.rates, {term}) ? "met" : "NOT met");
  if (!r.slo.empty()) out += Printf("  %.4g requests/s within these limits\n", r.goodput);
  out += Printf(
      "  percentiles of the prediction, by the errors of its costs; median and p99 are over "
      "requests\n"
      "  $%.3f a million input tokens, $%.3f a million output tokens\n",
      r.usd_per_million_input, r.usd_per_million_output);
  if (const PoolReport& first = r.first(); first.cached_tokens > 0) {
    const auto percent = [&](int64_t tokens) {
      return 100 * static_cast<double>(tokens) / static_cast<double>(first.prompt_tokens);
    };
    out += Printf("  %.1f%% of the prompts' tokens were in the prefix cache",
                  percent(first.cached_tokens));
    if (first.loaded_tokens > 0)
      out += Printf(", %.1f%% in the tiers below the GPUs", percent(first.loaded_tokens));
    out += "\n";
  }
  out += MemoryTexts(r);
  EachPool(r, [&](const PoolReport& pool, const std::string& of) {
    out += of.empty() ? "\nwhere the replicas' time goes\n"
                      : "\nwhere the time of replicas" + of + " goes\n";
    Rows times;
    for (const ServingShare& row : pool.breakdown)
      times.push_back({row.name, ShowSeconds(row.time), Printf("%.1f%%", 100 * row.fraction)});
    out += Aligned(times, "lrr");
  });
  return out;
}

Json SearchJson(const ServingSearch& search) {
  Json j = {{"found", search.best.has_value()}, {"short_load", search.short_load}};
  if (search.headroom) j["headroom"] = *search.headroom;
  j["trials"] = Json::array();
  for (const ServingTrial& t : search.trials) {
    Json trial = {{"speedup", t.speedup},
                  {"parallel",
                   {{"tp", t.parallel.tp},
                    {"dp", t.parallel.dp},
                    {"ep", t.parallel.ep},
                    {"pp", t.parallel.pp}}},
                  {"replicas", t.replicas},
                  {"prefill_replicas", t.prefill_replicas},
                  {"gpus", t.gpus},
                  {"request_rate", t.request_rate},
                  {"stable", t.stable},
                  {"holds", t.holds}};
    trial["output_throughput"] = t.rates.output_tokens;
    for (const LatencyMetric& latency : LatencyMetrics())
      trial[latency.name()] = latency.In(t.rates).value * 1e3;
    j["trials"].push_back(trial);
  }
  return j;
}

std::string SearchText(const ServingSearch& search) {
  if (search.trials.empty()) return "no layout of these GPUs has room for the model\n";
  std::string out = search.best ? "" : "nothing that was tried holds the load within the limits\n";
  if (search.short_load)
    out +=
        "the load is too short to be steady at what was found: it lasts less than ten times as "
        "long "
        "as a request stays; give more requests\n";
  const bool layouts = std::any_of(
      search.trials.begin(), search.trials.end(),
      [&](const ServingTrial& t) { return t.parallel != search.trials.front().parallel; });
  Rows rows = {{"requests/s", "GPUs", "output tokens/s", "p99 TTFT", "p99 TPOT", "held"}};
  if (layouts) rows[0].insert(rows[0].begin(), "layout");
  for (const ServingTrial& t : search.trials) {
    const std::string pools =
        t.prefill_replicas > 0 ? Printf(" (%d + %d replicas)", t.prefill_replicas, t.replicas) : "";
    rows.push_back({t.request_rate > 0 ? Printf("%.4g", t.request_rate) : "-",
                    std::to_string(t.gpus) + pools, Printf("%.4g", t.rates.output_tokens),
                    Milliseconds3(t.rates.ttft.p99.value), Milliseconds3(t.rates.tpot.p99.value),
                    t.holds    ? "yes"
                    : t.stable ? "not within the limits"
                               : "no"});
    if (layouts)
      rows.back().insert(rows.back().begin(), Printf("%d of ", t.replicas) + OneLine(t.parallel));
  }
  out += Aligned(rows, layouts ? "lrrrrrl" : "rrrrrl");
  if (search.headroom)
    out += Printf("  held at up to %.3g times the load as it is given\n", *search.headroom);
  return out;
}

Json CurveJson(const std::vector<DecodePoint>& curve) {
  Json list = Json::array();
  for (const DecodePoint& p : curve)
    list.push_back({{"sequences_per_rank", p.sequences},
                    {"iteration_ms", p.iteration.value * 1e3},
                    {"tokens_per_s_per_user", p.tokens_per_user},
                    {"tokens_per_s_per_gpu", p.tokens_per_gpu},
                    {"output_throughput", p.output_throughput},
                    {"longest", NameOf(p.longest)}});
  return list;
}

std::string CurveText(const std::vector<DecodePoint>& curve, int64_t context) {
  const std::string tokens = Thousands(context);
  if (curve.empty())
    return "\nnot even one sequence of " + tokens + " tokens fits in the cache of a rank\n";
  Rows rows = {{"sequences a rank", "iteration", "tokens/s/user", "tokens/s/GPU", "tokens/s"}};
  for (const DecodePoint& p : curve)
    rows.push_back({Thousands(p.sequences), Milliseconds3(p.iteration.value),
                    Printf("%.1f", p.tokens_per_user), Printf("%.0f", p.tokens_per_gpu),
                    Printf("%.0f", p.output_throughput)});
  return "\ndecode alone, sequences of " + tokens + " tokens\n" + Aligned(rows, "rrrrr");
}

Json IterationJson(const IterationCosts& costs, const IterationWork& work, IterationPart part) {
  Json list = Json::array();
  for (const IterationCosts::Piece& piece : costs.pieces()) {
    const CostedOps costed = costs.OpsIn(piece, work);
    const Json named = {
        {"block", NameOf(piece.kind)}, {"count", piece.count}, {"stage", piece.stage}};
    if (part == IterationPart::kBlocks) {
      Json block = named;
      AddTime(costs.TimeOf(costed), block);
      list.push_back(std::move(block));
      continue;
    }
    for (size_t i = 0; i < costed.ops.size(); ++i) {
      Json op = named;
      op.update(part == IterationPart::kOps
                    ? OpJson(costed.ops[i])
                    : CostJson(costs.sources(), costed.ops[i], costed.costs[i]));
      list.push_back(std::move(op));
    }
  }
  return list;
}

std::string IterationText(const IterationCosts& costs, const IterationWork& work,
                          IterationPart part) {
  std::string out = Printf(
      "\nthe mean iteration: %lld tokens of prompts, %lld decodes of %lld tokens%s\n",
      static_cast<long long>(work.prefill.tokens), static_cast<long long>(work.decode.sequences),
      static_cast<long long>(
          work.decode.sequences > 0 ? work.decode.context_sum / work.decode.sequences : 0),
      work.halved ? "; layers with experts in halves" : "");
  for (const IterationCosts::Piece& piece : costs.pieces()) {
    const CostedOps costed = costs.OpsIn(piece, work);
    const BlockTime time = costs.TimeOf(costed);
    const std::string of_stage =
        costs.stages() > 1 ? " of stage " + std::to_string(piece.stage) : "";
    out += Printf("\n%d x %s%s: %s\n", piece.count, std::string(NameOf(piece.kind)).c_str(),
                  of_stage.c_str(), ShowSeconds(time.total).c_str());
    out += part == IterationPart::kBlocks ? TimeText(time)
           : part == IterationPart::kOps  ? OpsText(costed)
                                          : CostsText(costs.sources(), costed);
  }
  return out;
}

std::string RequestsCsv(const ServingRun& run, const ServingOutcome& outcome) {
  constexpr const char* kEnds[] = {"completed", "too long", "never fits"};
  std::string out =
      "request,arrival_s,input_tokens,output_tokens,end,queue_ms,ttft_ms,tpot_ms,e2el_ms\n";
  for (size_t i = 0; i < outcome.requests.size(); ++i) {
    const Request& asked = run.load.requests[i];
    const RequestOutcome& r = outcome.requests[i];
    out += Printf("%zu,%.9f,%lld,%lld,%s,", i, r.arrival.seconds().value,
                  static_cast<long long>(asked.input_tokens),
                  static_cast<long long>(asked.output_tokens), kEnds[static_cast<size_t>(r.how)]);
    if (r.how == RequestEnd::kCompleted) {
      const double queue = (r.started - r.arrival).seconds().value * 1e3;
      const double ttft = (r.first_token - r.arrival).seconds().value * 1e3;
      const double rest = (r.end - r.first_token).seconds().value * 1e3;
      out += Printf("%.6f,%.6f,", queue, ttft);
      if (asked.output_tokens > 1)
        out += Printf("%.6f", rest / static_cast<double>(asked.output_tokens - 1));
      out += Printf(",%.6f", ttft + rest);
    } else {
      out += ",,,";
    }
    out += "\n";
  }
  return out;
}

}  // namespace moecast
