#include "scenarios/named_text.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "scenarios/builtin.h"

namespace moecast {
namespace {

// A model's config.json is named after its folder.
std::string NameOfPath(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path().filename();
  return (path.stem() == "config" && !folder.empty() ? folder : path.stem()).string();
}

bool LooksLikePath(const std::string& word) {
  std::error_code ignored;
  return word.find('/') != std::string::npos || word.ends_with(".json") ||
         std::filesystem::exists(word, ignored);
}

}  // namespace

NamedText ReadNamed(std::string_view folder, std::string_view what, const std::string& word,
                    size_t limit) {
  const std::string builtin = std::string(folder) + "/" + word + ".json";
  if (const auto text = BuiltinText(builtin)) return {word, builtin, std::string(*text)};
  if (LooksLikePath(word)) return {NameOfPath(word), word, ReadFile(word, limit)};
  const std::vector<std::string_view> names = BuiltinNames(folder);
  throw UserError({.file = std::string(what),
                   .value = "\"" + Shortened(word) + "\"",
                   .expected = "the path of a file or one of " + Join(names),
                   .hint = Nearest(word, names)});
}

}  // namespace moecast
