// Any text as a description of traffic: a short trace of it, or a UserError.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "scenarios/traffic_loader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  try {
    TrafficSpec spec =
        TrafficFromText(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    // Small enough to draw; the fuzzer shall not read the machine's files.
    spec.requests = std::min<int64_t>(spec.requests.value_or(100), 100);
    spec.block_tokens = std::max<int64_t>(spec.block_tokens, 1 << 16);
    for (PrefixSpec& prefix : spec.prefixes) prefix.count = std::min<int64_t>(prefix.count, 1000);
    if (spec.sessions) spec.sessions->turns.high = std::min<int64_t>(spec.sessions->turns.high, 4);
    if (!spec.lengths_of.empty() || CheckTraffic(spec)) return 0;
    const RequestTrace trace = DrawTraffic(spec, 1);
    MOECAST_CHECK(static_cast<int64_t>(trace.requests.size()) <= *spec.requests);
  } catch (const UserError&) {
  }
  return 0;
}
