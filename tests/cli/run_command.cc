#include "tests/cli/run_command.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

namespace moecast {

Ran RunCommand(const std::string& arguments) {
  Ran ran;
  FILE* pipe = popen(("'" MOECAST_BINARY "' " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) ran.output.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
  return ran;
}

Json RunForJson(const std::string& arguments) {
  const Ran ran = RunCommand(arguments + " --json -");
  EXPECT_EQ(ran.exit_code, 0) << arguments << "\n" << ran.output;
  return ran.exit_code == 0 ? ParseJson(ran.output, "output")->root : Json();
}

}  // namespace moecast
