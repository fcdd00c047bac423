#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace moecast {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr,
               "moecast: %s:%d: check failed: %s\nThis is a defect of moecast; please report it.\n",
               file, line, condition);
  std::abort();
}

}  // namespace moecast
