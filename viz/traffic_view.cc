#include "viz/traffic_view.h"

#include <cmath>

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

// A number of a trace: null where it has none.
struct Shown {
  const char* name;    // for people
  const char* key;     // of differences in JSON
  const char* format;  // printf's
  double (*of)(const TrafficStats& s);
};

double OrNan(const std::optional<double>& x) {
  return x.value_or(NAN);
}
double OfArrivals(const TrafficStats& s, double ArrivalStats::*member) {
  return s.arrivals ? (*s.arrivals).*member : NAN;
}
double TokensPerSecond(const TrafficStats& s, const LengthStats& tokens) {
  return s.arrivals ? s.arrivals->rate * tokens.mean : NAN;
}
double BusiestPart(const TrafficStats& s) {
  if (!s.arrivals) return NAN;
  double most = 0;
  for (const double rate : s.arrivals->rates) most = std::max(most, rate);
  return most / s.arrivals->rate;
}

constexpr Shown kShown[] = {
    {"requests", "requests", "%.0f",
     [](const TrafficStats& s) { return static_cast<double>(s.requests); }},
    {"duration, s", "duration_s", "%.1f",
     [](const TrafficStats& s) { return OfArrivals(s, &ArrivalStats::duration_s); }},
    {"requests/s", "request_rate", "%.4g",
     [](const TrafficStats& s) { return OfArrivals(s, &ArrivalStats::rate); }},
    {"busiest twelfth over mean", "busiest_part_over_mean", "%.3f", BusiestPart},
    {"gaps, deviation over mean", "gap_cv", "%.3f",
     [](const TrafficStats& s) { return OfArrivals(s, &ArrivalStats::gap_cv); }},
    {"arrivals in 10 s, variance over mean", "dispersion_10s", "%.2f",
     [](const TrafficStats& s) { return s.arrivals ? OrNan(s.arrivals->dispersion_10s) : NAN; }},
    {"arrivals in 60 s, variance over mean", "dispersion_60s", "%.2f",
     [](const TrafficStats& s) { return s.arrivals ? OrNan(s.arrivals->dispersion_60s) : NAN; }},
    {"input tokens/s", "input_tokens_per_s", "%.0f",
     [](const TrafficStats& s) { return TokensPerSecond(s, s.input); }},
    {"output tokens/s", "output_tokens_per_s", "%.0f",
     [](const TrafficStats& s) { return TokensPerSecond(s, s.output); }},
    {"input, mean", "input_mean", "%.1f", [](const TrafficStats& s) { return s.input.mean; }},
    {"input, p10", "input_p10", "%.0f", [](const TrafficStats& s) { return s.input.p10; }},
    {"input, median", "input_median", "%.0f", [](const TrafficStats& s) { return s.input.median; }},
    {"input, p90", "input_p90", "%.0f", [](const TrafficStats& s) { return s.input.p90; }},
    {"input, p99", "input_p99", "%.0f", [](const TrafficStats& s) { return s.input.p99; }},
    {"input, most", "input_max", "%.0f", [](const TrafficStats& s) { return s.input.max; }},
    {"output, mean", "output_mean", "%.1f", [](const TrafficStats& s) { return s.output.mean; }},
    {"output, p10", "output_p10", "%.0f", [](const TrafficStats& s) { return s.output.p10; }},
    {"output, median", "output_median", "%.0f",
     [](const TrafficStats& s) { return s.output.median; }},
    {"output, p90", "output_p90", "%.0f", [](const TrafficStats& s) { return s.output.p90; }},
    {"output, p99", "output_p99", "%.0f", [](const TrafficStats& s) { return s.output.p99; }},
    {"output, most", "output_max", "%.0f", [](const TrafficStats& s) { return s.output.max; }},
    {"correlation of input and output", "correlation", "%.3f",
     [](const TrafficStats& s) { return OrNan(s.correlation); }},
    {"prefix hit rate", "prefix_hit_rate", "%.4f",
     [](const TrafficStats& s) { return s.prefixes ? s.prefixes->hit_rate : NAN; }},
    {"prefix hit, median tokens", "prefix_hit_median", "%.0f",
     [](const TrafficStats& s) { return s.prefixes ? s.prefixes->hit_tokens.median : NAN; }},
    {"prefix hit, p90 tokens", "prefix_hit_p90", "%.0f",
     [](const TrafficStats& s) { return s.prefixes ? s.prefixes->hit_tokens.p90 : NAN; }},
    {"different blocks over blocks", "distinct_blocks_fraction", "%.4f",
     [](const TrafficStats& s) {
       return s.prefixes ? static_cast<double>(s.prefixes->distinct_blocks) /
                               static_cast<double>(s.prefixes->blocks)
                         : NAN;
     }},
};

Json NumberJson(double x) {
  return std::isnan(x) ? Json() : Json(x);
}

Json LengthJson(const LengthStats& s) {
  return {{"mean", s.mean}, {"p10", s.p10}, {"median", s.median},
          {"p90", s.p90},   {"p99", s.p99}, {"max", s.max}};
}

// The largest differences of the distribution functions of input and output.
struct LengthDifferences {
  double input, output;
};
LengthDifferences DifferencesOf(const RequestTrace& a, const RequestTrace& b) {
  return {LargestDifference(InputsOf(a), InputsOf(b)),
          LargestDifference(OutputsOf(a), OutputsOf(b))};
}

// Of a rate over time, a bar for each twelfth; the highest of all that are shown is full.
std::string RatesText(const std::vector<NamedTraffic>& shown) {
  double most = 0;
  for (const NamedTraffic& t : shown)
    if (t.stats.arrivals)
      for (const double rate : t.stats.arrivals->rates) most = std::max(most, rate);
  if (most == 0) return "";
  std::string text = "\nrequests/s in each twelfth of the time\n";
  Rows rows;
  for (const NamedTraffic& t : shown) {
    if (!t.stats.arrivals) continue;
    rows.push_back({t.name});
    for (const double rate : t.stats.arrivals->rates) rows.back().push_back(Printf("%.3g", rate));
  }
  return text + Aligned(rows, "l");
}

}  // namespace

Json TrafficJson(const TrafficStats& s) {
  Json json = {{"requests", s.requests},
               {"left_out", s.left_out},
               {"duration_s", NumberJson(OfArrivals(s, &ArrivalStats::duration_s))},
               {"request_rate", NumberJson(OfArrivals(s, &ArrivalStats::rate))},
               {"input_tokens_per_s", NumberJson(TokensPerSecond(s, s.input))},
               {"output_tokens_per_s", NumberJson(TokensPerSecond(s, s.output))},
               {"input", LengthJson(s.input)},
               {"output", LengthJson(s.output)},
               {"correlation", NumberJson(OrNan(s.correlation))}};
  Json arrivals;
  if (s.arrivals)
    arrivals = {{"gap_cv", s.arrivals->gap_cv},
                {"dispersion_10s", NumberJson(OrNan(s.arrivals->dispersion_10s))},
                {"dispersion_60s", NumberJson(OrNan(s.arrivals->dispersion_60s))},
                {"rates", s.arrivals->rates}};
  json["arrivals"] = std::move(arrivals);
  json["prefix_hit_rate"] = s.prefixes ? Json(s.prefixes->hit_rate) : Json();
  Json prefixes;
  if (s.prefixes)
    prefixes = {{"hit_tokens", LengthJson(s.prefixes->hit_tokens)},
                {"blocks", s.prefixes->blocks},
                {"distinct_blocks", s.prefixes->distinct_blocks}};
  json["prefixes"] = std::move(prefixes);
  return json;
}

Json TrafficDifferenceJson(const NamedTraffic& a, const NamedTraffic& b) {
  Json percent = Json::object();
  for (const Shown& q : kShown)
    percent.Append(q.key, NumberJson(100 * (q.of(b.stats) / q.of(a.stats) - 1)));
  const LengthDifferences d = DifferencesOf(a.trace, b.trace);
  return {{"input_distribution", d.input},
          {"output_distribution", d.output},
          {"percent", std::move(percent)}};
}

std::string TrafficText(const std::vector<NamedTraffic>& shown) {
  const bool two = shown.size() == 2;
  Rows rows = {{""}};
  for (const NamedTraffic& t : shown) rows[0].push_back(t.name);
  if (two) rows[0].push_back("difference");
  for (const Shown& q : kShown) {
    std::vector<std::string> row = {q.name};
    bool any = false;
    for (const NamedTraffic& t : shown) {
      const double x = q.of(t.stats);
      any = any || !std::isnan(x);
      char text[32];
      std::snprintf(text, sizeof text, q.format, x);
      row.push_back(std::isnan(x) ? "-" : text);
    }
    if (!any) continue;
    if (two) {
      const double change = 100 * (q.of(shown[1].stats) / q.of(shown[0].stats) - 1);
      row.push_back(std::isfinite(change) ? Printf("%+.1f%%", change) : "");
    }
    rows.push_back(std::move(row));
  }
  std::string text = Aligned(rows, "l") + RatesText(shown);
  if (two) {
    const LengthDifferences d = DifferencesOf(shown[0].trace, shown[1].trace);
    text += Printf("\ndistribution functions differ by at most %.4f (input) and %.4f (output)\n",
                   d.input, d.output);
  }
  for (const NamedTraffic& t : shown) {
    if (t.stats.left_out > 0)
      text += t.name + ": " + Thousands(t.stats.left_out) +
              " requests without a prompt or an answer are left out\n";
    if (!t.trace.timed) text += t.name + ": no arrival times; --rate gives it some\n";
  }
  return text;
}

}  // namespace moecast
