#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"

namespace moecast {
namespace {

[[noreturn]] void Throw(const std::string& path, const std::string& what) {
  throw UserError({.file = path, .value = what + ": " + std::strerror(errno)});
}

void WriteAll(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Throw(path, "cannot write");
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

std::string ReadFile(const std::string& path, size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Throw(path, "cannot open");
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat info {};
  if (::fstat(fd, &info) != 0) Throw(path, "cannot read");
  if (S_ISDIR(info.st_mode))
    throw UserError({.file = path, .value = "a directory", .expected = "a file"});
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Throw(path, "cannot read");
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > limit)
      throw UserError({.file = path,
                       .value = "more than " + std::to_string(limit >> 20) + " MiB",
                       .expected = "a smaller file"});
  }
}

void WriteFile(const std::string& path, std::string_view text) {
  if (path == "-") {
    WriteAll(STDOUT_FILENO, text, "standard output");
    return;
  }
  // A device or pipe (/dev/stdout, /dev/null) is written in place: renaming over it would replace
  // it.
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode))
      throw UserError({.file = path, .value = "a directory", .expected = "a file to write"});
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) Throw(path, "cannot open");
    WriteAll(fd, text, path);
    ::close(fd);
    return;
  }
  std::string aside = path + ".XXXXXX";
  const int fd = ::mkstemp(aside.data());
  if (fd < 0) Throw(path, "cannot write");
  struct Remover {
    const std::string& name;
    bool armed = true;
    ~Remover() {
      if (armed) ::unlink(name.c_str());
    }
  } remover{aside};
  try {
    WriteAll(fd, text, path);
  } catch (...) {
    ::close(fd);
    throw;
  }
  ::fchmod(fd, 0644);
  if (::close(fd) != 0) Throw(path, "cannot write");
  if (::rename(aside.c_str(), path.c_str()) != 0) Throw(path, "cannot rename to");
  remover.armed = false;
}

}  // namespace moecast
