// The data compiled into the program: models, clusters, devices, calibrations, scenarios and
// claims, as the files of scenarios/data.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moecast {

struct BuiltinFile {
  std::string_view path;  // relative to scenarios/data: "models/deepseek-v2.json"
  std::string_view text;
};

// Sorted by path.
std::span<const BuiltinFile> BuiltinFiles();

// The text of a built-in file, or nothing.
std::optional<std::string_view> BuiltinText(std::string_view path);

// The names in one folder without their ending: BuiltinNames("models") has "deepseek-v2".
std::vector<std::string_view> BuiltinNames(std::string_view folder);

}  // namespace moecast
