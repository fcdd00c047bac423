// Runs the program as a user does.
#pragma once

#include <string>

#include "base/json.h"

namespace moecast {

struct Ran {
  int exit_code = -1;
  std::string output;  // standard output and error together
};

// `arguments` as in a shell, "model deepseek-v2".
Ran RunCommand(const std::string& arguments);

// What the command prints with `--json -`; a failure of the test where it fails.
Json RunForJson(const std::string& arguments);

}  // namespace moecast
