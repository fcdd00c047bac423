#include "scenarios/claims/serving_claims.h"

#include <algorithm>
#include <string_view>

#include "scenarios/claims/claim_table.h"

namespace moecast {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

ServeArguments ArgumentsOf(std::string scenario, std::string_view sets) {
  return {.scenario = std::move(scenario), .sets = Split(sets, ';')};
}

// By the leaves of its fields.
std::string ShortName(const ServeArguments& of) {
  std::string name = of.scenario;
  for (const std::string& set : of.sets) name += " " + set.substr(set.rfind('/') + 1);
  return name;
}

struct Kind {
  std::string_view part, kind;  // of the quantity's name
};
constexpr Kind kKinds[] = {
    {"throughput", "throughput"}, {"tpot", "TPOT"}, {"itl", "TPOT"}, {"ttft", "TTFT"},
    {"e2el", "latency"},          {"/", "memory"}};

struct Aim {
  std::string_view set, kind;
  double percent;
};
constexpr Aim kAims[] = {{"closed loop", "TPOT", 10}, {"closed loop", "TTFT", 30},
                         {"field", "throughput", 15}, {"field", "TPOT", 15},
                         {"field", "TTFT", 30},       {"capacity", "memory", 3}};

}  // namespace

std::string ServeArguments::text() const {
  std::string text = scenario;
  for (const std::string& set : sets) text += " " + set;
  return text;
}

std::string_view KindOfQuantity(std::string_view quantity) {
  for (const auto& [part, kind] : kKinds)
    if (quantity.find(part) != std::string_view::npos) return kind;
  return quantity;
}

double AimOf(std::string_view set, std::string_view kind) {
  for (const Aim& aim : kAims)
    if (aim.set == set && aim.kind == kind) return aim.percent;
  return 0;
}

std::vector<ServingClaim> LoadServingClaims() {
  const ClaimTable table("serving");
  std::vector<ServingClaim> claims;
  for (size_t r = 0; r < table.rows(); ++r) {
    const ClaimRow row = table.Row(r);
    ServeArguments of = ArgumentsOf(std::string(row.Text("scenario")), row.Text("sets"));
    const std::string_view name = row.Text("case"), baseline = row.Text("baseline");
    const size_t end = std::min(baseline.find(';'), baseline.size());
    claims.push_back({.set = std::string(row.Text("set")),
                      .name = name.empty() ? ShortName(of) : std::string(name),
                      .of = std::move(of),
                      .baseline = ArgumentsOf(std::string(baseline.substr(0, end)),
                                              baseline.substr(std::min(end + 1, baseline.size()))),
                      .quantity = std::string(row.Text("quantity")),
                      .relation = std::string(row.Text("relation")),
                      .published = row.Number("published", 0, 1e18),
                      .source = std::string(row.Text("source")),
                      .used_for_fitting = row.IsYes("used_for_fitting")});
  }
  return claims;
}

}  // namespace moecast
