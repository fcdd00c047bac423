#include "viz/serve_view.h"

#include <cmath>

#include "base/interval.h"
#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

// What is shown of a latency, by vLLM's names.
struct StatName {
  const char* name;
  Seconds LatencyStats::*stat;
};
constexpr StatName kStats[] = {{"mean", &LatencyStats::mean},
                               {"median", &LatencyStats::median},
                               {"p90", &LatencyStats::p90},
                               {"p99", &LatencyStats::p99}};
struct LatencyName {
  const char* name;
  const char* help;
  LatencyStats ServingRates::*stats;
};
constexpr LatencyName kLatencies[] = {{"ttft", "time to first token", &ServingRates::ttft},
                                      {"tpot", "time per output token", &ServingRates::tpot},
                                      {"itl", "gaps between tokens", &ServingRates::itl},
                                      {"e2el", "end to end", &ServingRates::e2el}};
struct ThroughputName {
  const char* name;
  const char* help;
  double ServingRates::*rate;
};
constexpr ThroughputName kThroughputs[] = {
    {"request_throughput", "requests/s", &ServingRates::requests},
    {"input_throughput", "input tokens/s", &ServingRates::input_tokens},
    {"output_throughput", "output tokens/s", &ServingRates::output_tokens}};

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

std::string MemoryText(const ServingReport& r) {
  const ServingMemory& m = r.memory;
  std::string text =
      "\nmemory of a GPU\n" + Aligned({{"the engine's", ShowBytes(m.usable)},
                                       {"weights", ShowBytes(m.weights)},
                                       {"activations", ShowBytes(m.activations)},
                                       {"runtime", ShowBytes(m.runtime)},
                                       {m.fits() ? "KV cache" : "left", ShowBytes(m.kv)}},
                                      "lr");
  if (m.fits())
    text += Printf("  %s tokens of %s in the cache of a dp rank, %s at most used\n",
                   Thousands(m.tokens).c_str(), ShowBytes(m.kv_per_token).c_str(),
                   Thousands(r.peak_tokens).c_str());
  return text;
}

}  // namespace

Json ServeJson(const ServingReport& r) {
  const ServingMemory& m = r.memory;
  Json j = {{"scenario", r.name},         {"model", r.model}, {"cluster", r.cluster},
            {"deployment", r.deployment}, {"gpus", r.gpus},   {"fits", m.fits()}};
  j["memory"] = {
      {"usable_bytes", m.usable.value},           {"weights_bytes", m.weights.value},
      {"activations_bytes", m.activations.value}, {"runtime_bytes", m.runtime.value},
      {"kv_bytes", std::max(0.0, m.kv.value)},    {"over_bytes", std::max(0.0, -m.kv.value)}};
  j["kv"] = {{"bytes_per_token", m.kv_per_token.value},
             {"capacity_tokens", r.kv_capacity},
             {"capacity_tokens_per_rank", m.tokens},
             {"peak_tokens", r.peak_tokens}};
  if (!m.fits()) return j;
  j["stable"] = r.stable;
  j["waiting_left"] = r.waiting_left;
  j["limiting_resource"] = r.limiting_resource;
  j["duration_s"] = r.duration.value;
  j["completed"] = r.completed;
  j["rejected"] = r.too_long + r.never_fits;
  j["rejected_too_long"] = r.too_long;
  j["rejected_never_fits"] = r.never_fits;
  j["left_out"] = r.left_out;
  for (const ThroughputName& t : kThroughputs) j[t.name] = r.rates.*t.rate;
  j["total_token_throughput"] = r.rates.input_tokens + r.rates.output_tokens;
  j["output_throughput_per_gpu"] = r.rates.output_tokens / r.gpus;
  Json interval = Json::object();
  for (const ThroughputName& t : kThroughputs)
    interval[t.name] =
        Printed(Between(r, [&](const ServingRates& rates) { return rates.*t.rate; }));
  for (const LatencyName& l : kLatencies)
    for (const StatName& s : kStats) {
      const std::string key = std::string(s.name) + "_" + l.name + "_ms";
      const auto metric = [&](const ServingRates& rates) {
        return (rates.*l.stats.*s.stat).value * 1e3;
      };
      j[key] = metric(r.rates);
      interval[key] = Printed(Between(r, metric));
    }
  j["model_interval"] = interval;
  j["cost_usd_per_million_input_tokens"] = r.usd_per_million_input;
  j["cost_usd_per_million_output_tokens"] = r.usd_per_million_output;
  j["preemptions"] = r.preemptions;
  j["iterations"] = r.iterations;
  j["breakdown"] = Json::array();
  for (const ServingShare& row : r.breakdown)
    j["breakdown"].push_back(
        {{"name", row.name}, {"seconds", row.time.value}, {"fraction", row.fraction}});
  j["series"] = Json::array();
  for (const ServingSample& s : r.series)
    j["series"].push_back({{"time_s", s.at.seconds().value},
                           {"waiting", s.waiting},
                           {"running", s.running},
                           {"kv_blocks", s.kv_blocks}});
  return j;
}

std::string ServeText(const ServingReport& r) {
  std::string out = Printf("%s: %s on %d GPUs of %s\n  %s\n\n", r.name.c_str(), r.model.c_str(),
                           r.gpus, r.cluster.c_str(), r.deployment.c_str());
  if (!r.memory.fits())
    return out + "does not fit: " + ShowBytes(Bytes(-r.memory.kv.value)) +
           " more than a GPU has, before any KV cache\n" + MemoryText(r);
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
  out += "\n";
  if (r.completed == 0) return out + MemoryText(r);
  Rows rows = {{"", "p10", "p50", "p90"}};
  for (const ThroughputName& t : kThroughputs) {
    const Interval i = Between(r, [&](const ServingRates& rates) { return rates.*t.rate; });
    rows.push_back({t.help, Printf("%.4g", i.p10), Printf("%.4g", i.p50), Printf("%.4g", i.p90)});
  }
  for (const LatencyName& l : kLatencies)
    for (const StatName& s : {kStats[1], kStats[3]}) {
      const Interval i =
          Between(r, [&](const ServingRates& rates) { return (rates.*l.stats.*s.stat).value; });
      rows.push_back({std::string(l.help) + ", " + s.name, Milliseconds3(i.p10),
                      Milliseconds3(i.p50), Milliseconds3(i.p90)});
    }
  out += Aligned(rows, "l");
  out += Printf(
      "  percentiles of the prediction, by the errors of its costs; median and p99 are over "
      "requests\n"
      "  $%.3f a million input tokens, $%.3f a million output tokens\n",
      r.usd_per_million_input, r.usd_per_million_output);
  out += MemoryText(r);
  if (r.preemptions > 0)
    out += Printf("  %s sequences gave way and were computed again\n",
                  Thousands(r.preemptions).c_str());
  out += "\nwhere the replicas' time goes\n";
  Rows times;
  for (const ServingShare& row : r.breakdown)
    times.push_back({row.name, ShowSeconds(row.time), Printf("%.1f%%", 100 * row.fraction)});
  return out + Aligned(times, "lrr");
}

std::string RequestsCsv(const ServingRun& run, const ServingOutcome& outcome) {
  constexpr const char* kEnds[] = {"completed", "too long", "never fits"};
  std::string out = "request,arrival_s,input_tokens,output_tokens,end,ttft_ms,tpot_ms,e2el_ms\n";
  for (size_t i = 0; i < outcome.requests.size(); ++i) {
    const Request& asked = run.load.requests[i];
    const RequestOutcome& r = outcome.requests[i];
    out += Printf("%zu,%.9f,%lld,%lld,%s,", i, r.arrival.seconds().value,
                  static_cast<long long>(asked.input_tokens),
                  static_cast<long long>(asked.output_tokens), kEnds[static_cast<size_t>(r.how)]);
    if (r.how == RequestEnd::kCompleted) {
      const double ttft = (r.first_token - r.arrival).seconds().value * 1e3;
      const double rest = (r.end - r.first_token).seconds().value * 1e3;
      out += Printf("%.6f,", ttft);
      if (asked.output_tokens > 1)
        out += Printf("%.6f", rest / static_cast<double>(asked.output_tokens - 1));
      out += Printf(",%.6f", ttft + rest);
    } else {
      out += ",,";
    }
    out += "\n";
  }
  return out;
}

}  // namespace moecast
