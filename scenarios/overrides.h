// What scenario files of every kind share: --set, and names that fields refer to.
#pragma once

#include <span>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace moecast {

// Overrides of fields given to an option of the command line.
struct Overrides {
  std::string option;                 // for messages: "--set-b"
  std::span<const std::string> sets;  // "training/parallel/tp=4"
};

// Patches the document. A field that is set is no longer among its "unknown" ones. Throws UserError
// for what is no "path=value".
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
