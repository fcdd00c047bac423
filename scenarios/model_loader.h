// A model by its built-in name ("deepseek-v2") or by the path of a Hugging Face config.json.
#pragma once

#include <string>

#include "costmodel/model.h"

namespace moecast {

// A model read from a path is named after the file, or after its folder where the file is
// config.json. Throws UserError; for a word that is neither a built-in name nor a file, with the
// names there are.
Model LoadModel(const std::string& name_or_path);

}  // namespace moecast
