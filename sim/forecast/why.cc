#include "sim/forecast/why.h"

#include <algorithm>

namespace moecast {
namespace {

// Adds up times by cause, in the order in which causes first appear.
class Ledger {
 public:
  void Add(const std::string& cause, Seconds time) {
    if (time.value <= 0) return;
    for (PathCause& row : rows_) {
      if (row.cause != cause) continue;
      row.time += time;
      return;
    }
    rows_.push_back({cause, time});
  }
  // A block's time by what its operators are.
  void AddBlocks(const BlockTime& b) {
    for (const OpClass c :
         {OpClass::kGemm, OpClass::kGroupedGemm, OpClass::kAttention, OpClass::kElementwise})
      Add(std::string(NameOf(c)), b.busy[static_cast<size_t>(c)]);
    Add("recompute", b.recomputed);
    for (int g = 0; g < kGroupKinds; ++g)
      Add("exposed " + std::string(NameOf(static_cast<GroupKind>(g))) + " communication",
          b.exposed[static_cast<size_t>(g)]);
  }
  std::vector<PathCause> Sorted() {
    std::stable_sort(rows_.begin(), rows_.end(),
                     [](const PathCause& a, const PathCause& b) { return a.time > b.time; });
    return std::move(rows_);
  }

 private:
  std::vector<PathCause> rows_;
};

// A task of the critical path, and the transfer between it and the one before.
struct PathTask {
  int32_t task;
  int stage;
  Seconds time, transfer;
};

// From the last task to end back to the start.
std::vector<PathTask> PathOf(const PreparedStep& step) {
  const Schedule& schedule = step.schedule();
  const Timing& timing = step.timing();
  std::vector<PathTask> path;
  int32_t task =
      static_cast<int32_t>(std::max_element(timing.end.begin(), timing.end.end()) - timing.end.begin());
  while (task >= 0) {
    const int32_t lane = schedule.LaneOf(task);
    const Time start = timing.start[task];
    path.push_back({task, schedule.lanes[lane].rank, (timing.end[task] - start).seconds(), Seconds(0)});
    // What it waited for: the task before it on its lane, or a dependency that ended just then.
    int32_t next = -1;
    if (task > schedule.lane_begin[lane] && timing.end[task - 1] == start) next = task - 1;
    for (int32_t d = schedule.dependency_begin[task]; next < 0 && d < schedule.dependency_begin[task + 1];
         ++d) {
      const Dependency& on = schedule.dependencies[d];
      const Time transfer = on.transfer < 0 ? Time{} : step.shape().transfer;
      if (timing.end[on.task] + transfer != start) continue;
      next = on.task;
      path.back().transfer = transfer.seconds();
    }
    task = next;
  }
  return path;
}

}  // namespace

std::vector<PathCause> CriticalPath(const PreparedStep& step) {
  const std::vector<PathTask> path = PathOf(step);
  // The stage that the path visits for longest; before its first and after its last visit the pipeline fills
  // and drains.
  std::vector<double> visited(static_cast<size_t>(step.shape().stages), 0);
  for (const PathTask& p : path) visited[p.stage] += p.time.value;
  const int pivot = static_cast<int>(std::max_element(visited.begin(), visited.end()) - visited.begin());
  const auto on_pivot = [pivot](const PathTask& p) { return p.stage == pivot; };
  const auto last_visit = std::find_if(path.begin(), path.end(), on_pivot);
  const auto first_visit = std::find_if(path.rbegin(), path.rend(), on_pivot).base();

  Ledger ledger;
  for (auto p = path.begin(); p != path.end(); ++p) {
    const Task& t = step.schedule().tasks[p->task];
    const int v = step.pipeline().virtual_stage(step.shape(), p->stage, t.chunk);
    ledger.Add("pipeline transfer", p->transfer);
    if (!OfPipeline(t.phase)) {
      ledger.Add(std::string(NameOf(t.phase)), p->time);
    } else if (p < last_visit || p >= first_visit) {
      ledger.Add("pipeline fill and drain", p->time);
    } else {
      // A block of a split task counts by its share of its virtual stage.
      const BlockTime whole = step.BlocksOf(v, t.phase);
      ledger.AddBlocks(whole * (whole.total.value > 0 ? p->time / whole.total : 0));
    }
  }
  return ledger.Sorted();
}

std::vector<Marginal> MarginalValues(const PreparedStep& step) {
  constexpr double kFaster = 1.1;
  const double now = step.StepTime().value;
  const auto change = [&](const Speedup& s) { return 100 * (step.StepTime(s).value / now - 1); };
  return {{"compute", change({.compute = kFaster})},
          {"hbm", change({.hbm = kFaster})},
          {"nvlink", change({.nvlink = kFaster})},
          {"ib", change({.network = kFaster})}};
}

}  // namespace moecast
