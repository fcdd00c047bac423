#include "sim/forecast/why.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {
namespace {

// Adds up times by cause.
class Ledger {
 public:
  void Add(const std::string& cause, Seconds time) {
    for (Cause& row : rows_) {
      if (row.cause != cause) continue;
      row.time += time;
      return;
    }
    rows_.push_back({cause, time});
  }
  // The longest first, of equals the one that came first; without those that take no time.
  std::vector<Cause> Sorted() {
    std::erase_if(rows_, [](const Cause& row) { return row.time.value == 0; });
    std::stable_sort(rows_.begin(), rows_.end(),
                     [](const Cause& a, const Cause& b) { return a.time > b.time; });
    return std::move(rows_);
  }

 private:
  std::vector<Cause> rows_;
};

// A task of the critical path, and the transfer between it and the one before.
struct PathTask {
  int32_t task;
  int stage;
  Seconds time, transfer;
};

// From the last task of the step back to its beginning.
std::vector<PathTask> PathOf(const Step& step) {
  const TrainingSchedule& schedule = step.schedule();
  const Timing& timing = step.timing;
  const StepSpan span = SpanOf(step, step.timing);
  const auto within = [&span](Time begin, Time end) {
    return (std::max(end, span.begin) - std::max(begin, span.begin)).seconds();
  };
  std::vector<PathTask> path;
  int32_t task = span.last_task;
  while (task >= 0 && timing.end[task] > span.begin) {
    const int32_t lane = schedule.LaneOf(task);
    const Time start = timing.start[task];
    path.push_back({task, schedule.lanes[lane].rank, within(start, timing.end[task]), Seconds(0)});
    // What it waited for: the task before it on its lane, or a dependency that ended just then.
    int32_t next = -1;
    if (task > schedule.lane_begin[lane] && timing.end[task - 1] == start) next = task - 1;
    for (int32_t d = schedule.dependency_begin[task];
         next < 0 && d < schedule.dependency_begin[task + 1]; ++d) {
      const Dependency& on = schedule.dependencies[d];
      if (step.ArrivalOf(d) != start) continue;
      next = on.task;
      path.back().transfer = within(timing.end[on.task], start);
    }
    task = next;
  }
  return path;
}

// What the blocks of a task take alone.
BlockTime BlocksOfTask(const Step& step, int32_t task) {
  return TimeOf(step.schedule().programs[step.schedule().program_of[task]], step.times);
}

std::string CauseOf(Phase phase) {
  const bool communicates = phase == Phase::kGradReduce || phase == Phase::kParamGather;
  return (communicates ? "exposed " : "") + std::string(NameOf(phase));
}

}  // namespace

std::vector<Cause> CausesOf(const BlockTime& block) {
  std::vector<Cause> causes;
  for (const OpClass c :
       {OpClass::kGemm, OpClass::kGroupedGemm, OpClass::kAttention, OpClass::kElementwise})
    causes.push_back({std::string(NameOf(c)), block.busy[static_cast<size_t>(c)]});
  causes.push_back({"recompute", block.recomputed});
  for (int g = 0; g < kGroupKinds; ++g)
    causes.push_back(
        {"exposed " + std::string(NameOf(static_cast<GroupKind>(g))) + " communication",
         block.exposed[static_cast<size_t>(g)]});
  return causes;
}

PreparedPhase WithEvenLoads(const PreparedPhase& phase, StepCache& cache) {
  TrainingRun even = phase.run();
  even.plan.stage_layers.layers = phase.step().layout.LayersByPiece();
  even.even_loads = true;
  return PreparedPhase(std::move(even), cache, phase.step().stretch);
}

std::vector<Cause> CriticalPath(const Step& step, const Step& even) {
  const std::vector<PathTask> path = PathOf(step);
  const auto& tasks = step.schedule().tasks;
  const auto runs_blocks = [&tasks](const PathTask& p) { return OfPipeline(tasks[p.task].phase); };
  // The stage that the path visits for longest.
  std::vector<double> visited(static_cast<size_t>(step.shape.stages), 0);
  for (const PathTask& p : path) visited[p.stage] += runs_blocks(p) ? p.time.value : 0;
  const int pivot =
      static_cast<int>(std::max_element(visited.begin(), visited.end()) - visited.begin());
  const auto on_pivot = [&](const PathTask& p) { return p.stage == pivot && runs_blocks(p); };
  const auto last_visit = std::find_if(path.begin(), path.end(), on_pivot);
  const auto first_visit = std::find_if(path.rbegin(), path.rend(), on_pivot).base();

  Ledger ledger;
  for (auto p = path.begin(); p != path.end(); ++p) {
    const Task& t = tasks[p->task];
    const Seconds alone = std::min(p->transfer, step.shape.transfer.seconds());
    ledger.Add("exposed pp communication", alone);
    ledger.Add("contention", AboveRounding(p->transfer - alone));
    if (!runs_blocks(*p)) {
      ledger.Add(CauseOf(t.phase), p->time);
      continue;
    }
    BlockTime loaded = BlocksOfTask(step, p->task);
    loaded.total += step.Longer(p->task);
    const BlockTime level = BlocksOfTask(even, p->task);
    const Time took = step.timing.end[p->task] - step.timing.start[p->task];
    const Seconds whole = step.flows > 0 ? took.seconds() : loaded.total;
    // 1 but for the rounding of the engine's integer time, and where the step begins inside the
    // task.
    const double share = whole.value > 0 ? p->time / whole : 0;
    ledger.Add("contention", AboveRounding(whole - loaded.total) * share);
    ledger.Add("imbalance", (loaded.total - level.total) * share);
    if (p < last_visit || p >= first_visit)
      ledger.Add("bubble", level.total * share);
    else
      for (const Cause& c : CausesOf(level)) ledger.Add(c.cause, c.time * share);
  }
  return ledger.Sorted();
}

std::vector<Marginal> RateMarginals(const Step& step) {
  constexpr double kFaster = 1.1;
  const double now = StepTime(step).value;
  const auto row = [&](const char* resource, const Speedup& s) {
    const double change = 100 * (StepTime(step, s).value / now - 1);
    return Marginal{resource, change, change, ""};
  };
  return {row("compute", {.compute = kFaster}), row("hbm", {.hbm = kFaster}),
          row("nvlink", {.nvlink = kFaster}), row("ib", {.network = kFaster})};
}

}  // namespace moecast
