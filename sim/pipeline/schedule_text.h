// A schedule as text that a person can read and change and that reads back: which lanes there are,
// what each of their tasks runs in which order and waits for, and what that takes. An order that
// was exported and edited, or written by hand, is timed by `moecast pipeline --schedule-file`.
//
//   schedule
//   block 3 1.25ms moe-layer forward           number, time, what it is called
//   transfer 0 12us                            number, time
//   program 0 2 3*4                            number; blocks in order, the second four times
//   lane 0 compute stands-for 128              rank, stream, how many ranks run exactly this
//   task 0 forward micro-batch 0 program 0
//   task 1 forward-backward micro-batch 4 backward 2 1 program 7 after 5+0 6 longer 3us
//   end
//
// Tasks are of the lane above them and run in the order of the lines; their numbers are names, so
// that a line can be moved. Of a task: `chunk` and `part` as of Task (absent: 0, and whole);
// `backward` the micro-batch and the chunk of a pair's backward; `after` the tasks that it waits
// for, on other lanes, +N by transfer N; `longer` or `shorter` what it takes beside its program.
// Lines before `schedule` and after `end`, and what follows a #, are passed over. What a stage does
// to one micro-batch must come in order, forward, backward, weight gradients: of tasks of one lane
// no dependency says so.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/pipeline/task.h"

namespace moecast {

struct WrittenBlock {
  std::string name;  // words with one space between them
  Seconds time;
  friend bool operator==(const WrittenBlock&, const WrittenBlock&) = default;
};

struct WrittenSchedule {
  TrainingSchedule schedule;         // compute lanes first, lane i of rank i
  std::vector<WrittenBlock> blocks;  // by ProgramStep::block; none of what no program names
  std::vector<Time> transfers;       // by Dependency::transfer
  std::vector<Time> longer;          // by task, as Retimer::Run has it; empty: none is

  friend bool operator==(const WrittenSchedule&, const WrittenSchedule&) = default;
};

// Without programs that no task runs, blocks that no program names and a `longer` of nothing but
// zeros: emptied, and taken away where they come last.
WrittenSchedule Trimmed(WrittenSchedule written);

// The schedule with the blocks that its tasks run, each asked for by its number, trimmed.
WrittenSchedule Written(TrainingSchedule schedule,
                        const std::function<WrittenBlock(int32_t)>& block,
                        std::vector<Time> transfers, std::vector<Time> longer);

// When each task runs where nothing contends.
Timing TimingOf(const WrittenSchedule& written);

// ReadSchedule of it gives `written` back. `timing` is shown in comments. REQUIRES: it is
// trimmed.
std::string PrintSchedule(const WrittenSchedule& written, const Timing& timing);

// `file` is for messages. Throws UserError with line and column: what is no line of a schedule,
// numbers given twice or never, tasks that wait for each other, a micro-batch's backward before its
// forward, times beyond kMaxPipelineTime. Of what it returns TimingOf and PrintSchedule can be
// asked.
WrittenSchedule ReadSchedule(std::string_view text, const std::string& file);

}  // namespace moecast
