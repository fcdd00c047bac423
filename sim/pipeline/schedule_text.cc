#include "sim/pipeline/schedule_text.h"

#include <algorithm>

#include "base/quantity_text.h"

namespace moecast {
namespace {

void PrintTask(const WrittenSchedule& w, const Timing& timing, int32_t i, std::string& text) {
  const TrainingSchedule& s = w.schedule;
  const Task& task = s.tasks[i];
  const auto add = [&text](const char* word, int64_t n) {
    text += " " + std::string(word) + " " + std::to_string(n);
  };
  text += "task " + std::to_string(i) + " " + std::string(NameOf(task.phase));
  if (OfPipeline(task.phase)) add("micro-batch", task.micro_batch);
  if (task.chunk > 0) add("chunk", task.chunk);
  if (task.part >= 0) add("part", task.part);
  if (task.backward_chunk >= 0) {
    add("backward", task.backward_micro_batch);
    text += " " + std::to_string(task.backward_chunk);
  }
  add("program", s.program_of[i]);
  if (s.dependency_begin[i] < s.dependency_begin[i + 1]) text += " after";
  for (int32_t d = s.dependency_begin[i]; d < s.dependency_begin[i + 1]; ++d) {
    const Dependency& on = s.dependencies[d];
    text += " " + std::to_string(on.task);
    if (on.transfer >= 0) text += "+" + std::to_string(on.transfer);
  }
  if (!w.longer.empty() && w.longer[i] != Time{}) {
    const bool shorter = w.longer[i] < Time{};
    text += shorter ? " shorter " : " longer ";
    text += PrintSeconds((shorter ? Time{} - w.longer[i] : w.longer[i]).seconds());
  }
  text += "  # " + ShowSeconds(timing.start[i].seconds(), 6) + " .. " +
          ShowSeconds(timing.end[i].seconds(), 6) + "\n";
}

}  // namespace

WrittenSchedule Trimmed(WrittenSchedule w) {
  TrainingSchedule& s = w.schedule;
  std::vector<char> runs(s.programs.size());
  for (const int32_t program : s.program_of) runs[static_cast<size_t>(program)] = 1;
  std::vector<char> named(w.blocks.size());
  for (size_t p = 0; p < s.programs.size(); ++p) {
    if (!runs[p]) s.programs[p].clear();
    for (const ProgramStep& step : s.programs[p]) named[static_cast<size_t>(step.block)] = 1;
  }
  for (size_t b = 0; b < w.blocks.size(); ++b)
    if (!named[b]) w.blocks[b] = {};
  while (!runs.empty() && !runs.back()) runs.pop_back();
  s.programs.resize(runs.size());
  while (!named.empty() && !named.back()) named.pop_back();
  w.blocks.resize(named.size());
  const auto none = [](Time t) { return t == Time{}; };
  if (std::all_of(w.longer.begin(), w.longer.end(), none)) w.longer.clear();
  return w;
}

WrittenSchedule Written(TrainingSchedule schedule,
                        const std::function<WrittenBlock(int32_t)>& block,
                        std::vector<Time> transfers, std::vector<Time> longer) {
  WrittenSchedule w{.schedule = std::move(schedule),
                    .blocks = {},
                    .transfers = std::move(transfers),
                    .longer = std::move(longer)};
  int32_t blocks = 0;
  for (const Program& program : w.schedule.programs)
    for (const ProgramStep& step : program) blocks = std::max(blocks, step.block + 1);
  w.blocks.resize(static_cast<size_t>(blocks));
  w = Trimmed(std::move(w));
  for (const Program& program : w.schedule.programs)
    for (const ProgramStep& step : program)
      w.blocks[static_cast<size_t>(step.block)] = block(step.block);
  return w;
}

Timing TimingOf(const WrittenSchedule& w) {
  Timing timing;
  Retimer(w.schedule)
      .Run(DurationsOf(w.schedule, [&w](int32_t block) { return w.blocks[block].time; }),
           w.transfers, timing, w.longer);
  return timing;
}

std::string PrintSchedule(const WrittenSchedule& w, const Timing& timing) {
  const TrainingSchedule& s = w.schedule;
  std::vector<char> runs(s.programs.size());
  for (const int32_t program : s.program_of) runs[static_cast<size_t>(program)] = 1;
  std::vector<char> named(w.blocks.size());
  std::string programs;
  for (size_t p = 0; p < s.programs.size(); ++p) {
    if (!runs[p]) continue;
    programs += "program " + std::to_string(p);
    for (const ProgramStep& step : s.programs[p]) {
      named[static_cast<size_t>(step.block)] = 1;
      programs += " " + std::to_string(step.block);
      if (step.times != 1) programs += "*" + std::to_string(step.times);
    }
    programs += "\n";
  }
  std::string text = "schedule\n";
  for (size_t b = 0; b < w.blocks.size(); ++b)
    if (named[b])
      text += "block " + std::to_string(b) + " " + PrintSeconds(w.blocks[b].time) +
              (w.blocks[b].name.empty() ? "" : " " + w.blocks[b].name) + "\n";
  for (size_t t = 0; t < w.transfers.size(); ++t)
    text += "transfer " + std::to_string(t) + " " + PrintSeconds(w.transfers[t].seconds()) + "\n";
  text += programs;
  for (size_t l = 0; l < s.lanes.size(); ++l) {
    const Lane& lane = s.lanes[l];
    text += "lane " + std::to_string(lane.rank) + " " + std::string(NameOf(lane.stream));
    if (lane.stands_for != 1) text += " stands-for " + std::to_string(lane.stands_for);
    text += "\n";
    for (int32_t i = s.lane_begin[l]; i < s.lane_begin[l + 1]; ++i) PrintTask(w, timing, i, text);
  }
  return text + "end\n";
}

}  // namespace moecast
