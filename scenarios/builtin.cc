#include "scenarios/builtin.h"

namespace moecast {

std::optional<std::string_view> BuiltinText(std::string_view path) {
  for (const BuiltinFile& file : BuiltinFiles())
    if (file.path == path) return file.text;
  return std::nullopt;
}

std::vector<std::string_view> BuiltinNames(std::string_view folder) {
  std::vector<std::string_view> names;
  for (const BuiltinFile& file : BuiltinFiles()) {
    if (!file.path.starts_with(folder) || file.path.size() <= folder.size() ||
        file.path[folder.size()] != '/')
      continue;
    std::string_view name = file.path.substr(folder.size() + 1);
    if (name.find('/') == std::string_view::npos) names.push_back(name.substr(0, name.rfind('.')));
  }
  return names;
}

}  // namespace moecast
