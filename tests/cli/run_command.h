// Runs the program as a user does.
#pragma once

#include <string>

namespace moecast {

struct Ran {
  int exit_code = -1;
  std::string output;  // standard output and error together
};

// `arguments` as in a shell, "model deepseek-v2".
Ran RunCommand(const std::string& arguments);

}  // namespace moecast
