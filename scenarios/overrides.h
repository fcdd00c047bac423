// What scenario files of every kind share: fields given on the command line
// (`--set training/parallel/tp=4`), and names that fields refer to.
#pragma once

#include <span>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace moecast {

// Patches the document by what stands behind the option and returns the field's JSON pointer.
// Throws UserError where it is no path, '=' and value.
std::string ApplySet(JsonDocument& document, const std::string& option, const std::string& set);

// Overrides of fields given to an option of the command line.
struct Overrides {
  std::string option;                 // for messages: "--set-b"
  std::span<const std::string> sets;  // "training/parallel/tp=4"
};

// ApplySet of each, in order. A field that is set is no longer among the file's "unknown" ones.
void ApplySets(JsonDocument& document, const Overrides& overrides);

// What `load` gives; where it throws because a name it was given is unknown, the error names this
// field.
template <class Load>
auto Resolve(const JsonCursor& root, const char* field, Load load) {
  try {
    return load();
  } catch (const UserError& e) {
    // A file that was found but is wrong speaks for itself; a name that was not found is this
    // field's fault.
    if (e.parts().file != field) throw;
    root.Key(field).Fail(e.parts().expected, e.parts().hint);
  }
}

}  // namespace moecast
