#include "base/json_diff.h"

namespace moecast {
namespace {

void Compare(const Json& a, const Json& b, const std::string& at,
             std::vector<JsonDifference>& out) {
  if (a == b) return;
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items())
      Compare(value, b.contains(key) ? b[key] : Json(), MemberPointer(at, key), out);
    for (const auto& [key, value] : b.items())
      if (!a.contains(key)) Compare(Json(), value, MemberPointer(at, key), out);
  } else if (a.is_array() && b.is_array() && a.size() == b.size() && !a.empty() &&
             a.begin()->is_structured()) {
    for (size_t i = 0; i < a.size(); ++i) Compare(a[i], b[i], at + '/' + std::to_string(i), out);
  } else {
    out.push_back({at, a, b});
  }
}

}  // namespace

std::vector<JsonDifference> DifferencesOf(const Json& a, const Json& b) {
  std::vector<JsonDifference> out;
  Compare(a, b, "", out);
  return out;
}

}  // namespace moecast
