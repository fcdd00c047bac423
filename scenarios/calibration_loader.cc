#include "scenarios/calibration_loader.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "scenarios/builtin.h"

namespace moecast {
namespace {

constexpr std::string_view kFolder = "calibrations/";
constexpr std::string_view kFile = "/calibration.json";

}  // namespace

std::vector<std::string> CalibrationStacks(const std::string& directory) {
  std::vector<std::string> stacks;
  if (directory.empty()) {
    for (const BuiltinFile& file : BuiltinFiles()) {
      if (!file.path.starts_with(kFolder) || !file.path.ends_with(kFile)) continue;
      stacks.emplace_back(
          file.path.substr(kFolder.size(), file.path.size() - kFolder.size() - kFile.size()));
    }
  } else {
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error))
      if (std::filesystem::exists(at->path() / "calibration.json"))
        stacks.push_back(at->path().filename().string());
    if (error)
      throw UserError(
          {.file = directory, .value = error.message(), .expected = "a directory of calibrations"});
  }
  std::sort(stacks.begin(), stacks.end());
  return stacks;
}

Calibration LoadCalibration(const Device& device, std::string_view stack,
                            const std::string& directory) {
  const std::vector<std::string> stacks = CalibrationStacks(directory);
  if (std::find(stacks.begin(), stacks.end(), stack) == stacks.end()) {
    const std::vector<std::string_view> names(stacks.begin(), stacks.end());
    throw UserError({.file = directory.empty() ? "stack" : directory,
                     .value = "\"" + Shortened(stack) + "\"",
                     .expected = "one of " + Join(names),
                     .hint = Nearest(stack, names)});
  }
  return Calibration(device, stack, [directory](std::string_view path) {
    if (auto text = CalibrationText(path, directory)) return *std::move(text);
    throw UserError(
        {.file = (directory.empty() ? std::string(kFolder) : directory + "/") + std::string(path),
         .value = "no such file",
         .expected = "one that calibration.json names"});
  });
}

std::optional<std::string> CalibrationText(std::string_view path, const std::string& directory) {
  if (directory.empty()) {
    const auto text = BuiltinText(std::string(kFolder) + std::string(path));
    return text ? std::optional(std::string(*text)) : std::nullopt;
  }
  const std::string file = directory + "/" + std::string(path);
  std::error_code ignored;
  return std::filesystem::exists(file, ignored) ? std::optional(ReadFile(file)) : std::nullopt;
}

}  // namespace moecast
