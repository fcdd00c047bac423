#include "base/json_diff.h"

namespace moecast {
namespace {

void Compare(const Json& a, const Json& b, const Json::json_pointer& at, std::vector<JsonDifference>& out) {
  if (a == b) return;
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items())
      Compare(value, b.contains(key) ? b[key] : Json(), at / key, out);
    for (const auto& [key, value] : b.items())
      if (!a.contains(key)) Compare(Json(), value, at / key, out);
  } else if (a.is_array() && b.is_array() && a.size() == b.size() && !a.empty() && a[0].is_structured()) {
    for (size_t i = 0; i < a.size(); ++i) Compare(a[i], b[i], at / i, out);
  } else {
    out.push_back({at.to_string(), a, b});
  }
}

}  // namespace

std::vector<JsonDifference> DifferencesOf(const Json& a, const Json& b) {
  std::vector<JsonDifference> out;
  Compare(a, b, Json::json_pointer(), out);
  return out;
}

}  // namespace moecast
