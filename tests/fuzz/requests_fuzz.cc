// Any text as a trace of requests: one in order, which every format that takes it gives back, or a
// UserError.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "traces/requests.h"
#include "traces/traffic_stats.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const RequestTrace trace = ReadRequests(text, "fuzz");
    Time last;
    for (const Request& r : trace.requests) {
      MOECAST_CHECK(r.arrival >= last && r.input_tokens > 0 && r.output_tokens > 0);
      MOECAST_CHECK(r.first_block + r.blocks <= trace.hash_ids.size());
      last = r.arrival;
    }
    StatsOf(trace);
    StatsOf(Sliced(trace, {.limit = 3}));
    for (const RequestFormat* format : RequestFormats()) {
      const std::string written = WriteRequests(trace, *format);
      MOECAST_CHECK(FormatOf(written) == format);
      const RequestTrace again = ReadRequests(written, "written");
      MOECAST_CHECK(again.requests.size() == trace.requests.size());
      MOECAST_CHECK(WriteRequests(again, *format) == written);
    }
  } catch (const UserError&) {
  }
  return 0;
}
