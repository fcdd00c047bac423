#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

namespace moecast {

ProgressFn ProgressLine::Shower() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [this](const std::string& what, double part) { Show(what, part); };
}

void ProgressLine::Show(const std::string& what, double part) {
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  shown_ = true;
  std::fprintf(stderr, "\r\033[K%s: %.0f%%", what.c_str(), 100 * part);
  std::fflush(stderr);
}

ProgressLine::~ProgressLine() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

}  // namespace moecast
