// Any text as a cluster file: a cluster whose first and last GPU have a path or none, or a
// UserError.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/error.h"
#include "scenarios/cluster_loader.h"
#include "topology/routes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moecast;
  const std::string text(reinterpret_cast<const char*>(data), size);
  // A cluster may name its device by a path; the fuzzer shall not read the machine's files.
  if (text.find('/') != text.npos &&
      (text.find("dev/") != text.npos || text.find("/proc") != text.npos))
    return 0;
  try {
    const Cluster cluster = ClusterFromText(text, "fuzz");
    const Path path = Routes(cluster).Between(0, cluster.gpus - 1);
    for (const LinkId link : path.span()) MOECAST_CHECK(link < NumberOfLinks(cluster));
  } catch (const UserError&) {
  }
  return 0;
}
