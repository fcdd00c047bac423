// What a UserError says, for tests of messages.
#pragma once

#include <string>

#include "base/error.h"

namespace moecast {

template <class F>
std::string MessageOf(F f) {
  try {
    f();
  } catch (const UserError& e) {
    return e.what();
  }
  return "no UserError";
}

}  // namespace moecast
