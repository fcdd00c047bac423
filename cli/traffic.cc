// moecast traffic: traces of requests, recorded or drawn: what they are like, drawing them, and
// from one format to another.
#include <memory>
#include <span>

#include "base/error.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "scenarios/builtin.h"
#include "scenarios/traffic_loader.h"
#include "viz/fields_view.h"
#include "viz/traffic_view.h"

namespace moecast {
namespace {

constexpr char kFieldsText[] =
    "Made by `moecast traffic fields`. A description of traffic is a JSON object; a field is named "
    "by its JSON\n"
    "pointer, `/0` is any element of a list. Every field can be set on the command line: `--set "
    "arrivals/rate=20`.\n";

struct Options {
  std::string traffic, against, out, format = "mooncake", start = "0s", duration;
  std::vector<std::string> sets;
  int64_t limit = INT64_MAX;
  double speedup = 1, rate = 0;
};

template <class T>
T Positive(const char* option, const std::string& text, std::optional<T> value, bool zero) {
  if (value && (value->value > 0 || (zero && value->value == 0)) && value->value < 9e6)
    return *value;
  throw UserError({.file = option,
                   .value = "\"" + Shortened(text) + "\"",
                   .expected = "a time such as 10min, less than 100d"});
}

Slice SliceOf(const Options& o) {
  if (o.limit < 1)
    throw UserError(
        {.file = "--limit", .value = std::to_string(o.limit), .expected = "at least 1"});
  Slice slice{.limit = o.limit};
  slice.start = Time::From(Positive("--start", o.start, ParseSeconds(o.start), true));
  if (!o.duration.empty())
    slice.duration =
        Time::From(Positive("--duration", o.duration, ParseSeconds(o.duration), false));
  return slice;
}

// The traffic as the options have it: arrivals of its own, sped up, then cut. `to`: the format that
// it is for, if it is for one.
NamedTraffic Load(const std::string& word, std::span<const std::string> sets, const Options& o,
                  uint64_t seed, const RequestFormat* to = nullptr) {
  RequestTrace trace = LoadTraffic(word, seed, sets, to);
  if (!(o.speedup >= 1e-6 && o.speedup <= 1e6))
    throw UserError({.file = "--speedup",
                     .value = ShowNumber(o.speedup),
                     .expected = "a factor from 1e-6 to 1e6"});
  if (o.rate != 0) {
    if (!(o.rate >= 1e-6 && o.rate <= 1e9))
      throw UserError(
          {.file = "--rate", .value = ShowNumber(o.rate), .expected = "from 1e-6 to 1e9"});
    trace = WithArrivals(std::move(trace), {.rate = o.rate}, seed);
  }
  trace = Sliced(SpedUp(std::move(trace), o.speedup), SliceOf(o));
  if (trace.requests.empty())
    throw UserError({.file = word,
                     .value = "no requests between --start and --start + --duration",
                     .expected = "at least one"});
  TrafficStats stats = StatsOf(trace);
  return {word.substr(word.rfind('/') + 1), std::move(trace), std::move(stats)};
}

void AddCutting(OptionList list, Options& o) {
  list.Add("--set", o.sets,
           "overrides a field of TRAFFIC's description: arrivals/rate=20; may be repeated",
           {.repeated = true});
  list.Add("--rate", o.rate, "poisson arrivals of so many requests a second, in place of its own");
  list.Add("--speedup", o.speedup, "factor on the rate", {.show_default = true});
  list.Add("--start", o.start, "leaves out what arrives before, \"10min\"", {.show_default = true});
  list.Add("--duration", o.duration, "and what arrives so long after it");
  list.Add("--limit", o.limit, "at most so many requests");
}

void Stats(const Options& o, const CommonOptions& common) {
  std::vector<NamedTraffic> shown = {Load(o.traffic, o.sets, o, common.seed)};
  Json json = TrafficJson(shown[0].stats);
  if (!o.against.empty()) {
    shown.push_back(Load(o.against, {}, o, common.seed));
    json["against"] = TrafficJson(shown[1].stats);
    json["difference"] = TrafficDifferenceJson(shown[0], shown[1]);
  }
  Emit(common, json, TrafficText(shown));
}

// What a trace has and a format has not.
std::string LostBy(const RequestTrace& trace, const RequestFormat& format) {
  std::string lost;
  if (!trace.hash_ids.empty() && !format.has_prefixes) lost = "hashes of prefixes";
  if (trace.timed && !format.has_arrivals)
    lost += std::string(lost.empty() ? "" : " and ") + "arrival times";
  return lost;
}

void Write(const Options& o, const CommonOptions& common) {
  const RequestFormat& format = FormatNamed(o.format);
  const NamedTraffic traffic = Load(o.traffic, o.sets, o, common.seed, &format);
  const std::string lost = LostBy(traffic.trace, format);
  const std::string text = WriteRequests(traffic.trace, format);
  WriteFile(o.out, text);
  if (o.out == "-") return;
  Json json = TrafficJson(traffic.stats);
  json["file"] = o.out;
  json["format"] = o.format;
  json["lost"] = lost.empty() ? Json() : Json(lost);
  Emit(common, json,
       o.out + ": " + std::to_string(traffic.stats.requests) + " requests, format " + o.format +
           (lost.empty() ? "" : ", without " + lost) + "\n");
}

}  // namespace

Action DefineTraffic(OptionList list, const CommonOptions& common) {
  const auto o = std::make_shared<Options>();
  list.RequireKind();
  OptionList stats = list.AddKind("stats", "what a trace or built-in traffic is like");
  stats.Add("traffic", o->traffic, "built-in traffic, a file that describes some, or a trace",
            {.required = true});
  stats.Add("--against", o->against, "another one, shown beside it with the differences");
  AddCutting(stats, *o);
  OptionList gen = list.AddKind("gen", "draws a trace from a description");
  OptionList convert = list.AddKind("convert", "a trace in another format");
  for (OptionList& kind : {std::ref(gen), std::ref(convert)}) {
    kind.Add("traffic", o->traffic, "built-in traffic, a file that describes some, or a trace",
             {.required = true});
    kind.Add("--out", o->out, "the file to write, - for standard output", {.required = true});
    AddCutting(kind, *o);
  }
  gen.Add("--format", o->format, "its format", {.show_default = true});
  convert.Add("--to", o->format, "its format", {.required = true});
  OptionList fields = list.AddKind("fields", "every field of a description, as Markdown");
  OptionList names = list.AddKind("list", "the built-in traffic");
  return [=, &common] {
    if (stats.named()) Stats(*o, common);
    if (gen.named() || convert.named()) Write(*o, common);
    if (fields.named()) {
      std::vector<FieldDoc> docs;
      FieldsOf(static_cast<const TrafficSpec*>(nullptr)).Document("", docs);
      EmitDocument(common, FieldsJson(docs),
                   FieldsMarkdown("Fields of a description of traffic", kFieldsText, docs));
    }
    if (names.named()) {
      Json list_of = Json::array();
      std::string text;
      for (const std::string_view name : BuiltinNames("traffic")) {
        list_of.push_back(name);
        text += std::string(name) + "\n";
      }
      EmitDocument(common, list_of, text);
    }
  };
}

}  // namespace moecast
