#include "scenarios/traffic_loader.h"

#include "base/error.h"
#include "base/fields.h"
#include "base/file.h"
#include "scenarios/named_text.h"
#include "scenarios/overrides.h"

namespace moecast {
namespace {

constexpr size_t kLargestTrace = size_t{1} << 30;

NamedText ReadTraffic(const std::string& word) {
  return ReadNamed("traffic", "traffic", word, kLargestTrace);
}

}  // namespace

TrafficSpec TrafficFromText(std::string_view text, const std::string& file,
                            std::span<const std::string> sets) {
  const auto document = ParseJson(text, file);
  for (const std::string& set : sets) ApplySet(*document, "--set", set);
  const JsonCursor root(document);
  const TrafficSpec spec = FieldsOf(static_cast<const TrafficSpec*>(nullptr)).Parse(root);
  if (const auto fault = CheckTraffic(spec)) root.FailBelow(fault->pointer, fault->expected);
  return spec;
}

RequestTrace DrawTraffic(const TrafficSpec& spec, uint64_t seed) {
  if (spec.lengths_of.empty()) return Generate(spec, seed);
  const RequestTrace lengths =
      ReadRequests(ReadFile(spec.lengths_of, kLargestTrace), spec.lengths_of);
  return Generate(spec, seed, &lengths);
}

RequestTrace LoadTraffic(const std::string& name_or_path, uint64_t seed,
                         std::span<const std::string> sets, const RequestFormat* to) {
  const NamedText named = ReadTraffic(name_or_path);
  const size_t first = named.text.find_first_not_of(" \t\r\n");
  if (FormatOf(named.text) || first == std::string::npos || named.text[first] != '{') {
    if (!sets.empty())
      throw UserError({.file = "--set",
                       .value = "\"" + Shortened(sets[0]) + "\"",
                       .expected = "a description of traffic; " + named.file + " is a trace"});
    return ReadRequests(named.text, named.file);
  }
  const TrafficSpec spec = TrafficFromText(named.text, named.file, sets);
  if (to) CheckBlocks(*to, BlockTokensOf(spec), named.name);
  RequestTrace trace = DrawTraffic(spec, seed);
  trace.file = named.name;
  return trace;
}

}  // namespace moecast
