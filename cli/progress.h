// A line of progress on standard error, only where that is a terminal and only after two seconds.
#pragma once

#include <chrono>
#include <string>

#include "base/progress.h"

namespace moecast {

class ProgressLine {
 public:
  ProgressLine() = default;
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();  // clears it

  // This must outlive what it gives.
  ProgressFn Shower();

 private:
  void Show(const std::string& what, double part);

  using Clock = std::chrono::steady_clock;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(2);
  bool shown_ = false;
};

}  // namespace moecast
