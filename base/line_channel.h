// Lines of text over two file descriptors: how programs of this project talk to each other. Lines
// end in '\n'; what is written waits until Flush or ReadLine.
#pragma once

#include <string>
#include <string_view>

namespace moecast {

class LineChannel {
 public:
  // Does not own the descriptors.
  LineChannel(int in, int out) : in_(in), out_(out) {}

  void Write(std::string_view text) { waiting_ += text; }
  // False where nobody reads any more; raises no signal on sockets.
  bool Flush();
  // Flushes and waits for the next line, without its end. False at the end of the input or where
  // Flush fails; what follows the last '\n' is no line.
  bool ReadLine(std::string& line);

 private:
  int in_, out_;
  std::string waiting_, read_;
  size_t at_ = 0;
};

}  // namespace moecast
