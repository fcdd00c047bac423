#include "base/line_channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace moecast {

bool LineChannel::Flush() {
  std::string_view rest = waiting_;
  while (!rest.empty()) {
    ssize_t n = ::send(out_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = ::write(out_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  waiting_.clear();
  return true;
}

bool LineChannel::ReadLine(std::string& line) {
  if (!Flush()) return false;
  size_t searched = at_;
  while (true) {
    if (const size_t end = read_.find('\n', searched); end != std::string::npos) {
      line.assign(read_, at_, end - at_);
      at_ = end + 1;
      return true;
    }
    read_.erase(0, at_);
    at_ = 0;
    searched = read_.size();
    char buffer[1 << 16];
    ssize_t n = 0;
    while ((n = ::read(in_, buffer, sizeof buffer)) < 0 && errno == EINTR) {
    }
    if (n <= 0) return false;
    read_.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace moecast
