// Any text as a scenario file: a scenario whose first variant can be made, or a UserError.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "scenarios/scenario.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // A scenario may name its model or cluster by a path; the fuzzer shall not read the machine's
  // files.
  if (text.find("/dev") != text.npos || text.find("/proc") != text.npos ||
      text.find("/sys") != text.npos)
    return 0;
  try {
    const Scenario scenario = Scenario::FromText(text, "fuzz", "fuzz", {});
    scenario.Variant(std::vector<int>(scenario.spec().unknown.list.size(), -1));
  } catch (const UserError&) {
  }
  return 0;
}
