#include "viz/replica_view.h"

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {

Json ReplicaJson(const ReplicaTimes& r) {
  return {{"fluid_s", r.first.value},
          {"simgrid_s", r.second.value},
          {"farthest_task_end_s", r.farthest.value},
          {"flows", r.flows}};
}

std::string ReplicaText(const ReplicaTimes& r) {
  return Printf(
      "\none replica, every pair of ranks a flow (%lld): fluid %.9g s, SimGrid %.9g s; no task "
      "ends more "
      "than %s "
      "apart\n",
      static_cast<long long>(r.flows), r.first.value, r.second.value,
      ShowSeconds(r.farthest).c_str());
}

}  // namespace moecast
