#include "cli/simgrid_program.h"

#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/error.h"
#include "cli/named.h"

namespace moecast {

std::unique_ptr<ChildProcess> StartHelper(Level level) {
  if (level != Level::kSimgrid) return nullptr;
  std::error_code error;
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe", error).replace_filename("moecast-simgrid");
  if (error || ::access(program.c_str(), X_OK) != 0)
    throw UserError(
        {.file = "--level",
         .value = "simgrid",
         .expected = "analytic or fluid: " + program.string() +
                     " is missing, which is built where SimGrid 3.32 is installed (Debian: "
                     "libsimgrid-dev)"});
  return std::make_unique<ChildProcess>(program.string(), std::vector<std::string>{});
}

}  // namespace moecast
