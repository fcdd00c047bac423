// Any text to the parsers of quantities: what parses is finite, and prints as a text that gives the
// same value.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

template <auto kParse, auto kPrint>
void RoundTrip(std::string_view text) {
  const auto quantity = kParse(text);
  if (!quantity) return;
  MOECAST_CHECK(std::isfinite(quantity->value));
  MOECAST_CHECK(kParse(kPrint(*quantity)) == quantity);
}

}  // namespace
}  // namespace moecast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  RoundTrip<ParseBytes, PrintBytes>(text);
  RoundTrip<ParseSeconds, PrintSeconds>(text);
  RoundTrip<ParseRate, PrintRate>(text);
  RoundTrip<ParseFlopRate, PrintFlopRate>(text);
  RoundTrip<ParseCount, PrintCount>(text);
  if (const auto n = ParseNumber(text)) MOECAST_CHECK(std::isfinite(*n) && !ShowNumber(*n).empty());
  if (const auto b = ParseBytes(text)) MOECAST_CHECK(!ShowBytes(*b).empty());
  if (const auto s = ParseSeconds(text)) MOECAST_CHECK(!ShowSeconds(*s).empty());
  return 0;
}
