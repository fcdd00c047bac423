// Fields of a file given on the command line: `--set training/parallel/tp=4`.
#pragma once

#include <string>

#include "base/json.h"

namespace moecast {

// Patches the document by what stands behind the option and returns the field's JSON pointer.
// Throws UserError where it is no path, '=' and value.
std::string ApplySet(JsonDocument& document, const std::string& option, const std::string& set);

}  // namespace moecast
