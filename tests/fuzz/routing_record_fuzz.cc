// Any bytes as a routing record: a record that writing and reading gives back, or a UserError.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "traces/routing_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  if (size < 1) return 0;
  // The first byte is the model's number of experts.
  const int experts = 1 + data[0];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const RoutingRecord record = ParseRoutingRecord(text, "fuzz", experts);
    MOECAST_CHECK(record.layers > 0 && record.rows > 0);
    const std::string written = WriteRoutingRecord(record);
    MOECAST_CHECK(WriteRoutingRecord(ParseRoutingRecord(written, "written", experts)) == written);
  } catch (const UserError&) {
  }
  return 0;
}
