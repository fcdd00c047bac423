// Checks of our own reasoning. A failed MOECAST_CHECK is a defect of moecast, never of its input:
// it prints the place and aborts. The user's faults are UserError (base/error.h).
#pragma once

namespace moecast {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace moecast

#define MOECAST_CHECK(condition)                                              \
  do {                                                                        \
    if (!(condition)) ::moecast::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)
