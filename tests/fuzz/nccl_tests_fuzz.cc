// Any text as the output of nccl-tests: rows with sizes and times, or a UserError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "traces/nccl_tests.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const NcclTest test = ParseNcclTest(text, "all_reduce");
    MOECAST_CHECK(LooksLikeNcclTest(text) && test.rank_hosts.size() >= 2 && !test.rows.empty());
    for (const NcclTestRow& row : test.rows)
      MOECAST_CHECK(row.bytes > 0 && row.out_of_place.value > 0);
  } catch (const UserError&) {
  }
  return 0;
}
