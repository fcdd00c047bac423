// The text behind a name: a built-in file of one folder of scenarios/data, or a file of the user's.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moecast {

struct NamedText {
  std::string name;  // the built-in name, or the file's without folder and ending
  std::string file;  // for messages
  std::string text;
};

// `word` as a built-in name of `folder` ("clusters"), else as a path. `what` is how messages call
// it ("cluster"). Throws UserError for a word that is neither, with the names there are and the
// nearest, and for a file of more than `limit` bytes.
NamedText ReadNamed(std::string_view folder, std::string_view what, const std::string& word,
                    size_t limit = size_t{256} << 20);

}  // namespace moecast
