// A file of unequal counts for the 160 experts of DeepSeek-V2, as routing was recorded.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"

namespace moecast {

inline std::string RecordedCounts() {
  std::string file = testing::TempDir() + "recorded_counts.csv",
              text = "layer,micro_batch,expert,tokens\n";
  for (int e = 0; e < 160; ++e)
    text += "0,0," + std::to_string(e) + "," + std::to_string(e < 20 ? 300 : 100) + "\n";
  WriteFile(file, text);
  return file;
}

}  // namespace moecast
