// Any text at all to the JSON parser, the cursor and the printer. A UserError is a right answer; a
// crash, a hang or any other exception is a defect, and so is a value that printing and parsing
// change.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"

namespace moecast {
namespace {

// Reads every value as every type; each reader either gives a value within its bounds or throws.
void Walk(const JsonCursor& at) {
  try {
    const int64_t n = at.Int(-10, 1000);
    MOECAST_CHECK(n >= -10 && n <= 1000);
  } catch (const UserError&) {
  }
  try {
    const double x = at.Number(-1e30, 1e30);
    MOECAST_CHECK(std::fabs(x) <= 1e30);
  } catch (const UserError&) {
  }
  if (at.json().is_string()) MOECAST_CHECK(at.Text() == at.json().get<std::string>());
  if (at.json().is_array()) {
    for (size_t i = 0; i < at.size(); ++i) Walk(at.At(i));
  } else if (at.json().is_object()) {
    for (const std::string& key : at.Keys()) Walk(at.Key(key));
    try {
      at.AllowOnly(std::vector<std::string_view>{"model", "cluster", "training"});
    } catch (const UserError&) {
    }
  }
}

// Printing keeps 9 digits of a fraction, so a value may change the first time it is printed and
// never again.
void RoundTrip(const Json& value, int indent) {
  const auto printed = ParseJson(DumpJson(value, indent), "printed");
  MOECAST_CHECK(ParseJson(DumpJson(printed->root, indent), "printed twice")->root == printed->root);
}

}  // namespace
}  // namespace moecast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto document = ParseJson(text, "fuzz");
    Walk(JsonCursor(document));
    RoundTrip(document->root, -1);
    RoundTrip(document->root, 2);
    // The text as a path of --set, too.
    PatchJson(*document, text.substr(0, 40), 1, {"--set", ""});
  } catch (const UserError&) {
  }
  return 0;
}
