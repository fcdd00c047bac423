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

}  // namespace

std::string ServingClaim::name() const {
  std::string name = scenario;
  for (const std::string& set : sets) name += " " + set.substr(set.rfind('/') + 1);
  return name;
}

std::vector<ServingClaim> LoadServingClaims() {
  const ClaimTable table("serving");
  std::vector<ServingClaim> claims;
  for (size_t r = 0; r < table.rows(); ++r) {
    const ClaimRow row = table.Row(r);
    claims.push_back({.scenario = std::string(row.Text("scenario")),
                      .sets = Split(row.Text("sets"), ';'),
                      .quantity = std::string(row.Text("quantity")),
                      .relation = std::string(row.Text("relation")),
                      .published = row.Number("published", 0, 1e18),
                      .source = std::string(row.Text("source")),
                      .used_for_fitting = row.IsYes("used_for_fitting")});
  }
  return claims;
}

}  // namespace moecast
