#include "scenarios/claims/claims.h"

#include "base/check.h"
#include "base/fields.h"
#include "scenarios/builtin.h"

namespace moecast {

const Fields<Claim>& FieldsOf(const Claim*) {
  static const Fields<Claim> fields(
      "claim",
      {
          RequiredRow("name", &Claim::name, "name of the case"),
          RequiredRow("scenario", &Claim::scenario, "built-in scenario that predicts it"),
          Row("baseline", &Claim::baseline, "scenario that a ratio or saving refers to"),
          RequiredRow("quantity", &Claim::quantity, "what was published"),
          Row("relation", &Claim::relation, "= or >="),
          RequiredRow("published", &Claim::published, "the figure"),
          RequiredRow("source", &Claim::source, "where it was published"),
          Row("used_for_fitting", &Claim::used_for_fitting, "whether a constant was fitted on it"),
      });
  return fields;
}

std::vector<Claim> LoadClaims(std::string_view suite) {
  const std::string file = "claims/" + std::string(suite) + ".json";
  const auto text = BuiltinText(file);
  MOECAST_CHECK(text.has_value());
  const JsonCursor root{ParseJson(*text, file)};
  static constexpr std::string_view kKeys[] = {"claims"};
  root.AllowOnly(kKeys);
  return Codec<std::vector<Claim>>::Parse(root.Required("claims"), {});
}

}  // namespace moecast
