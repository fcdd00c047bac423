#include "scenarios/overrides.h"

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

}  // namespace moecast
