// Any text as a schedule: one that can be timed and whose print reads back, or a UserError.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "sim/pipeline/schedule_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  try {
    const WrittenSchedule read =
        ReadSchedule(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    const std::string printed = PrintSchedule(read, TimingOf(read));
    const WrittenSchedule again = ReadSchedule(printed, "printed");
    MOECAST_CHECK(PrintSchedule(again, TimingOf(again)) == printed);
  } catch (const UserError&) {
  }
  return 0;
}
