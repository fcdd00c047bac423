// A program run beside this one, line by line over its standard input and output. Started from
// cli/, executor/ and tests only; what lies below is given one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/line_channel.h"

namespace moecast {

class ChildProcess {
 public:
  // `program` is a path. Throws UserError where it cannot be run.
  ChildProcess(const std::string& program, const std::vector<std::string>& arguments);
  ~ChildProcess();  // ends it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void Write(std::string_view text) { channel_.Write(text); }
  // Throws UserError where the program has ended, with its last words on standard error or its exit
  // status.
  std::string ReadLine();

 private:
  std::string program_;
  int socket_ = -1, words_ = -1;
  int pid_ = -1;
  LineChannel channel_{-1, -1};
};

}  // namespace moecast
