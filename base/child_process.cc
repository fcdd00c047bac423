#include "base/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace moecast {
namespace {

[[noreturn]] void CannotRun(const std::string& program, int error) {
  throw UserError(
      {.file = program, .value = std::string("cannot be run: ") + std::strerror(error)});
}

// The last lines of what the program wrote to standard error.
std::string LastWords(int fd) {
  constexpr off_t kMost = 2000;
  const off_t size = ::lseek(fd, 0, SEEK_END);
  std::string words(static_cast<size_t>(std::min(size, kMost)), '\0');
  const ssize_t n = ::pread(fd, words.data(), words.size(), std::max<off_t>(0, size - kMost));
  words.resize(n < 0 ? 0 : static_cast<size_t>(n));
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words;
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return std::string("signal ") + ::strsignal(WTERMSIG(status));
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

ChildProcess::ChildProcess(const std::string& program, const std::vector<std::string>& arguments)
    : program_(program) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) CannotRun(program, errno);
  words_ = ::memfd_create("standard error", MFD_CLOEXEC);
  if (words_ < 0) {
    const int error = errno;
    ::close(sockets[0]);
    ::close(sockets[1]);
    CannotRun(program, error);
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, words_, STDERR_FILENO);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const int error = ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(sockets[1]);
  if (error != 0) {
    ::close(sockets[0]);
    ::close(words_);
    CannotRun(program, error);
  }
  socket_ = sockets[0];
  channel_ = LineChannel(socket_, socket_);
}

ChildProcess::~ChildProcess() {
  ::close(socket_);
  ::close(words_);
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string ChildProcess::ReadLine() {
  std::string line;
  if (pid_ >= 0 && channel_.ReadLine(line)) return line;
  std::string ended = "it has ended";
  if (pid_ >= 0) {
    // It has closed its output: what is left is to wait for its end.
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    ended = HowItEnded(status);
  }
  const std::string words = LastWords(words_);
  throw UserError(
      {.file = program_, .value = "ended early: " + ended + (words.empty() ? "" : ": " + words)});
}

}  // namespace moecast
