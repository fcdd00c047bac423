#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "tests/message_of.h"

namespace moecast {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string pattern = (fs::temp_directory_path() / "moecast-file-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~FileTest() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  size_t Entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

TEST_F(FileTest, WhatWasWrittenIsRead) {
  const std::string text("a\0b\nc", 5);
  WriteFile(Path("f"), text);
  EXPECT_EQ(ReadFile(Path("f")), text);
  WriteFile(Path("f"), "");
  EXPECT_EQ(ReadFile(Path("f")), "");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(FileTest, AMissingFileADirectoryAndALargeFileAreTheUsersFaults) {
  EXPECT_EQ(MessageOf([&] { ReadFile(Path("none")); }),
            Path("none") + ": found cannot open: No such file or directory");
  EXPECT_EQ(MessageOf([&] { ReadFile(folder_.string()); }),
            folder_.string() + ": found a directory, expected a file");
  WriteFile(Path("large"), std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(MessageOf([&] { ReadFile(Path("large"), 1 << 20); }),
            Path("large") + ": found more than 1 MiB, expected a smaller file");
  EXPECT_EQ(ReadFile(Path("large"), (1 << 20) + 1).size(), (1u << 20) + 1);
}

TEST_F(FileTest, WritingToADirectoryOrIntoAMissingFolderIsTheUsersFault) {
  EXPECT_EQ(MessageOf([&] { WriteFile(folder_.string(), "x"); }),
            folder_.string() + ": found a directory, expected a file to write");
  EXPECT_EQ(MessageOf([&] { WriteFile(Path("none/f"), "x"); }),
            Path("none/f") + ": found cannot write: No such file or directory");
  EXPECT_EQ(Entries(), 0u);
}

TEST_F(FileTest, AnOlderFileSurvivesAFailedWriteAndNothingIsLeftBeside) {
  WriteFile(Path("f"), "old");
  // A limit on the size of files fails the write half way, as a full disk does.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = MessageOf([&] { WriteFile(Path("f"), std::string(5000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, Path("f") + ": found cannot write: File too large");
  EXPECT_EQ(ReadFile(Path("f")), "old");
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(FileTest, AWrittenFileCanBeReadByOthers) {
  WriteFile(Path("f"), "x");
  struct stat info {};
  ASSERT_EQ(::stat(Path("f").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644u);
}

TEST_F(FileTest, ADeviceIsWrittenInPlace) {
  WriteFile("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

}  // namespace
}  // namespace moecast
