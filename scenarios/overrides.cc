#include "scenarios/overrides.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace moecast {
namespace {

// The value right of --set's '=': JSON where it is that, else text, so that names and quantities
// need no quotes. `origin` is for messages.
Json ValueOf(const std::string& text, const std::string& origin) {
  try {
    return ParseJson(text, origin)->root;
  } catch (const UserError& e) {
    if (e.parts().pointer.empty()) throw;  // JSON, but with a key twice or nested too deep
    return text;
  }
}

// Whether one of two pointers is the other or runs through it.
bool OneHoldsOther(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  return a.substr(0, common) == b.substr(0, common) &&
         (a.size() == b.size() || (a.size() > b.size() ? a : b)[common] == '/');
}

// A value given for a field takes away the others it might have had.
void ForgetUnknowns(JsonDocument& document, std::string_view pointer) {
  if (!document.root.is_object()) return;
  const auto unknown = document.root.find("unknown");
  if (unknown == document.root.end() || !unknown->is_object()) return;
  std::vector<std::string> known;
  for (const auto& [name, values] : unknown->items())
    if (OneHoldsOther(name, pointer)) known.push_back(name);
  for (const std::string& name : known) unknown->erase(name);
}

}  // namespace

std::string ApplySet(JsonDocument& document, const std::string& option, const std::string& set) {
  const size_t equals = set.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UserError({.file = option,
                     .value = "\"" + Shortened(set) + "\"",
                     .expected = "a path, '=' and a value, as in training/parallel/tp=4"});
  const std::string path = set.substr(0, equals), value = set.substr(equals + 1);
  const std::string origin = option + " " + Shortened(set, 100);
  PatchJson(document, path, ValueOf(value, origin), {origin, value});
  return path.starts_with('/') ? path : "/" + path;
}

void ApplySets(JsonDocument& document, const Overrides& overrides) {
  for (const std::string& set : overrides.sets)
    ForgetUnknowns(document, ApplySet(document, overrides.option, set));
}

}  // namespace moecast
