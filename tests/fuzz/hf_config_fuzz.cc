// Any text to the reader of Hugging Face config.json: a model or a UserError, and a model has
// parameters.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "scenarios/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  try {
    const Model model =
        ParseHfConfig(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz", "fuzz");
    MOECAST_CHECK(model.hidden > 0 && model.vocab > 0 && model.layers() > 0);
  } catch (const UserError&) {
  }
  return 0;
}
