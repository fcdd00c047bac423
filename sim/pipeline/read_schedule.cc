#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/quantity_text.h"
#include "sim/pipeline/pipeline.h"
#include "sim/pipeline/schedule_text.h"

namespace moecast {
namespace {

constexpr int64_t kMostNumbered = 1 << 20;  // blocks, programs, transfers: they index vectors
constexpr int64_t kMostTasks = 4 * kMaxPipelineTasks;

struct Word {
  std::string_view text;
  size_t line = 0, column = 0;  // from 1
};

std::vector<Word> WordsOf(std::string_view line, size_t number) {
  line = line.substr(0, line.find('#'));
  std::vector<Word> words;
  constexpr std::string_view kSpace = " \t\r";
  for (size_t at = 0; (at = line.find_first_not_of(kSpace, at)) != line.npos;) {
    const size_t end = std::min(line.find_first_of(kSpace, at), line.size());
    words.push_back({line.substr(at, end - at), number, at + 1});
    at = end;
  }
  return words;
}

class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  WrittenSchedule Read() {
    bool inside = false, ended = false;
    for (size_t at = 0; at < text_.size() && !ended; ++line_) {
      const size_t end = std::min(text_.find('\n', at), text_.size());
      words_ = WordsOf(text_.substr(at, end - at), line_ + 1);
      at = end + 1;
      next_ = 0;
      if (words_.empty()) continue;
      const bool alone = words_.size() == 1;
      ended = inside && alone && words_[0].text == "end";
      if (inside && !ended) ReadLine();
      inside = inside || (alone && words_[0].text == "schedule");
    }
    if (!ended)
      throw UserError({.file = file_,
                       .value = inside ? "no line \"end\"" : "no line \"schedule\"",
                       .expected = "a schedule between a line \"schedule\" and a line \"end\""});
    Link();
    CheckLanes();
    CheckOrder();
    CheckTimes();
    return Trimmed(std::move(out_));
  }

 private:
  using Named = std::map<int64_t, Word>;  // numbers that were given, and where

  struct Waits {
    Word on;
    int64_t task = 0;
    int32_t transfer = -1;
  };

  [[noreturn]] void Fail(const Word& at, const std::string& expected,
                         const std::string& hint = "") const {
    throw UserError(
        {.file = file_,
         .pointer = "line " + std::to_string(at.line) + ", column " + std::to_string(at.column),
         .value = at.text.empty() ? "the line's end" : "\"" + Shortened(at.text) + "\"",
         .expected = expected,
         .hint = hint});
  }

  // The next word of the line; of none, where it would stand.
  Word Next() {
    if (next_ < words_.size()) return words_[next_++];
    const Word& last = words_.back();
    return {{}, last.line, last.column + last.text.size()};
  }
  bool AtEnd() const { return next_ == words_.size(); }
  void NoMore() {
    if (!AtEnd()) Fail(Next(), "the line's end");
  }

  static std::optional<int64_t> NumberIn(std::string_view text, int64_t low, int64_t high) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n < low || n > high) return {};
    return n;
  }
  int64_t Number(const Word& word, const char* what, int64_t low, int64_t high) const {
    const auto n = NumberIn(word.text, low, high);
    if (!n)
      Fail(word, std::string(what) + ", a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high));
    return *n;
  }
  Time Duration(const Word& word) const { return Time::From(SecondsIn(word)); }
  Seconds SecondsIn(const Word& word) const {
    const auto time = ParseSeconds(word.text);
    if (!time || !(time->value >= 0 && *time <= kMaxPipelineTime))
      Fail(word, "a time from 0s to " + PrintSeconds(kMaxPipelineTime) + " such as 18.5ms");
    return *time;
  }
  // A new number of blocks, programs or tasks.
  int64_t NewNumber(const char* what, int64_t most, Named& named) {
    const Word word = Next();
    const int64_t n = Number(word, what, 0, most - 1);
    if (!named.emplace(n, word).second)
      Fail(word, std::string(what) + " not given before: line " + std::to_string(named.at(n).line) +
                     " has it");
    return n;
  }
  template <class T>
  static T& Grown(std::vector<T>& list, int64_t index) {
    if (list.size() <= static_cast<size_t>(index)) list.resize(static_cast<size_t>(index) + 1);
    return list[static_cast<size_t>(index)];
  }

  void ReadLine() {
    static constexpr std::string_view kKinds[] = {"block", "transfer", "program",
                                                  "lane",  "task",     "end"};
    const Word kind = Next();
    if (kind.text == "block")
      ReadBlock();
    else if (kind.text == "transfer")
      ReadTransfer();
    else if (kind.text == "program")
      ReadProgram();
    else if (kind.text == "lane")
      ReadLane();
    else if (kind.text == "task")
      ReadTask(kind);
    else if (kind.text != "end")
      Fail(kind, "one of " + Join(kKinds), Nearest(kind.text, kKinds));
    NoMore();
  }

  void ReadBlock() {
    WrittenBlock& block =
        Grown(out_.blocks, NewNumber("the block's number", kMostNumbered, blocks_));
    block.time = SecondsIn(Next());
    while (!AtEnd()) block.name += (block.name.empty() ? "" : " ") + std::string(Next().text);
  }

  void ReadTransfer() {
    Time& transfer =
        Grown(out_.transfers, NewNumber("the transfer's number", kMostNumbered, transfers_));
    transfer = Duration(Next());
  }

  // Blocks may be declared further down.
  void ReadProgram() {
    Program& program =
        Grown(out_.schedule.programs, NewNumber("the program's number", kMostNumbered, programs_));
    while (!AtEnd()) {
      const Word word = Next();
      const size_t star = std::min(word.text.find('*'), word.text.size());
      const auto block = NumberIn(word.text.substr(0, star), 0, kMostNumbered - 1);
      const auto times = star == word.text.size()
                             ? std::optional<int64_t>(1)
                             : NumberIn(word.text.substr(star + 1), 1, kMostNumbered);
      if (!block || !times) Fail(word, "a block's number, 3, or 3*4 for four times");
      used_blocks_.emplace(*block, word);
      program.push_back({static_cast<int32_t>(*block), static_cast<int32_t>(*times)});
    }
  }

  void ReadLane() {
    TrainingSchedule& s = out_.schedule;
    Lane lane;
    const Word rank = Next();
    lane.rank = static_cast<int32_t>(Number(rank, "the lane's rank", 0, kMaxPipelineStages - 1));
    const Word stream = Next();
    const auto named = ByName<Stream>(stream.text);
    if (!named) {
      std::vector<std::string_view> names;
      for (const auto& row : EnumNames<Stream>::kNames) names.push_back(row.name);
      Fail(stream, "a stream: one of " + Join(names), Nearest(stream.text, names));
    }
    lane.stream = *named;
    if (lane.stream == Stream::kCompute &&
        (lane.rank != static_cast<int32_t>(s.lanes.size()) ||
         (!s.lanes.empty() && s.lanes.back().stream != Stream::kCompute)))
      Fail(rank, "compute lanes first, by rank from 0");
    if (!AtEnd()) {
      if (const Word word = Next(); word.text != "stands-for")
        Fail(word, "stands-for, or the line's end");
      lane.stands_for = static_cast<int32_t>(Number(Next(), "how many ranks", 1, 1 << 30));
    }
    s.lanes.push_back(lane);
    lane_words_.push_back(words_[0]);
    s.lane_begin.push_back(s.size());
  }

  void ReadTask(const Word& kind) {
    static constexpr std::string_view kWords[] = {"micro-batch", "chunk", "part",   "backward",
                                                  "program",     "after", "longer", "shorter"};
    if (out_.schedule.lanes.empty()) Fail(kind, "a lane before its tasks");
    const int64_t number = NewNumber("the task's number", kMostTasks, tasks_);
    const Word phase = Next();
    Task task;
    const auto named = ByName<Phase>(phase.text);
    if (!named) {
      std::vector<std::string_view> names;
      for (const auto& row : EnumNames<Phase>::kNames) names.push_back(row.name);
      Fail(phase, "a phase: one of " + Join(names), Nearest(phase.text, names));
    }
    task.phase = *named;
    const auto micro_batch = [&] {
      return static_cast<int32_t>(Number(Next(), "a micro-batch", 0, kMaxPipelineTasks - 1));
    };
    const auto chunk = [&] {
      return static_cast<int16_t>(Number(Next(), "a chunk", 0, INT16_MAX));
    };
    std::optional<int64_t> program;
    Time longer{};
    std::vector<Waits> waits;
    while (!AtEnd()) {
      const Word word = Next();
      if (word.text == "micro-batch") {
        task.micro_batch = micro_batch();
      } else if (word.text == "chunk") {
        task.chunk = chunk();
      } else if (word.text == "part") {
        task.part = static_cast<int16_t>(Number(Next(), "a part", 0, INT16_MAX));
      } else if (word.text == "backward") {
        task.backward_micro_batch = micro_batch();
        task.backward_chunk = chunk();
      } else if (word.text == "program") {
        const Word at = Next();
        program = Number(at, "a program's number", 0, kMostNumbered - 1);
        used_programs_.emplace(*program, at);
      } else if (word.text == "after") {
        while (!AtEnd() && words_[next_].text[0] >= '0' && words_[next_].text[0] <= '9')
          waits.push_back(ReadWait(Next()));
      } else if (word.text == "longer") {
        longer = Duration(Next());
      } else if (word.text == "shorter") {
        longer = Time{} - Duration(Next());
      } else {
        Fail(word, "one of " + Join(kWords), Nearest(word.text, kWords));
      }
    }
    if (!program) Fail(Next(), "program and its number");
    if ((task.phase == Phase::kForwardBackward) != (task.backward_chunk >= 0))
      Fail(phase, task.backward_chunk >= 0 ? "forward-backward, which alone has a backward's words"
                                           : "backward with its micro-batch and its chunk");
    const int32_t id = out_.schedule.Append(static_cast<int32_t>(*program), task);
    id_of_.emplace(number, id);
    word_of_.push_back(tasks_.at(number));
    waits_.push_back(std::move(waits));
    longer_.push_back(longer);
  }

  Waits ReadWait(const Word& word) {
    const size_t plus = std::min(word.text.find('+'), word.text.size());
    Waits wait{.on = word};
    const auto task = NumberIn(word.text.substr(0, plus), 0, kMostTasks - 1);
    const auto transfer = plus == word.text.size()
                              ? std::optional<int64_t>(-1)
                              : NumberIn(word.text.substr(plus + 1), 0, kMostNumbered - 1);
    if (!task || !transfer) Fail(word, "a task's number, 3, or 3+0 with transfer 0");
    wait.task = *task;
    wait.transfer = static_cast<int32_t>(*transfer);
    if (wait.transfer >= 0) used_transfers_.emplace(*transfer, word);
    return wait;
  }

  void CheckGiven(const Named& used, const Named& given, const char* what) const {
    for (const auto& [number, word] : used)
      if (!given.contains(number))
        Fail(word, std::string(what) + " " + std::to_string(number) + " on a line of its own");
  }

  // Numbers of tasks become places.
  void Link() {
    CheckGiven(used_blocks_, blocks_, "block");
    CheckGiven(used_programs_, programs_, "program");
    CheckGiven(used_transfers_, transfers_, "transfer");
    TrainingSchedule& s = out_.schedule;
    s.lane_begin.push_back(s.size());
    s.dependency_begin.push_back(0);
    for (const std::vector<Waits>& waits : waits_) {
      for (const Waits& wait : waits) {
        const auto found = id_of_.find(wait.task);
        if (found == id_of_.end()) Fail(wait.on, "the number of a task of the schedule");
        s.dependencies.push_back({found->second, wait.transfer});
      }
      s.dependency_begin.push_back(static_cast<int32_t>(s.dependencies.size()));
    }
    out_.longer = longer_;
  }

  void CheckLanes() const {
    const TrainingSchedule& s = out_.schedule;
    if (s.lanes.empty())
      throw UserError({.file = file_, .value = "no lane", .expected = "one or more"});
    for (size_t l = 0; l < s.lanes.size(); ++l) {
      if (s.lanes[l].stream != Stream::kCompute) continue;
      if (s.lane_begin[l] == s.lane_begin[l + 1])
        Fail(lane_words_[l], "a task or more on each compute lane");
      CheckPasses(l);
    }
  }

  // What each chunk has done to each micro-batch so far: 1 forward, 2 backward, 3 weights. Tasks
  // that are split by layer go on with what they have begun.
  void CheckPasses(size_t lane) const {
    const TrainingSchedule& s = out_.schedule;
    std::map<std::pair<int16_t, int32_t>, int> done;
    for (int32_t i = s.lane_begin[lane]; i < s.lane_begin[lane + 1]; ++i) {
      if (!OfPipeline(s.tasks[i].phase)) continue;
      EachHalf(s.tasks[i], [&](Phase phase, int32_t micro_batch, int16_t chunk) {
        static constexpr const char* kNeeds[] = {"", "forward", "backward"};
        const int first = phase == Phase::kForward ? 0 : phase == Phase::kWeight ? 2 : 1;
        int& has = done[{chunk, micro_batch}];
        const bool goes_on = s.tasks[i].part >= 0 && has > first;
        if (has < first)
          Fail(word_of_[i], "the " + std::string(kNeeds[first]) + " of micro-batch " +
                                std::to_string(micro_batch) + " of chunk " + std::to_string(chunk) +
                                " before its " + std::string(NameOf(phase)));
        if (has > first && !goes_on)
          Fail(word_of_[i], "the " + std::string(NameOf(phase)) + " of micro-batch " +
                                std::to_string(micro_batch) + " of chunk " + std::to_string(chunk) +
                                " once");
        has = std::max(has, DoesWeight(phase) ? 3 : DoesBackward(phase) ? 2 : 1);
      });
    }
  }

  // Tasks that can run, in any order; who is left waits for others who are left.
  void CheckOrder() const {
    const TrainingSchedule& s = out_.schedule;
    const auto count = static_cast<size_t>(s.size());
    std::vector<int32_t> before(count, -1);  // on its lane
    std::vector<int32_t> missing(count), ready;
    std::vector<std::vector<int32_t>> then(count);
    for (size_t l = 0; l < s.lanes.size(); ++l)
      for (int32_t i = s.lane_begin[l] + 1; i < s.lane_begin[l + 1]; ++i) before[i] = i - 1;
    const auto each_before = [&](int32_t i, auto visit) {
      if (before[i] >= 0) visit(before[i]);
      for (int32_t d = s.dependency_begin[i]; d < s.dependency_begin[i + 1]; ++d)
        visit(s.dependencies[d].task);
    };
    for (int32_t i = 0; i < s.size(); ++i) {
      each_before(i, [&](int32_t on) {
        ++missing[i];
        then[on].push_back(i);
      });
      if (missing[i] == 0) ready.push_back(i);
    }
    size_t done = 0;
    for (; !ready.empty(); ++done) {
      const int32_t task = ready.back();
      ready.pop_back();
      for (const int32_t i : then[task])
        if (--missing[i] == 0) ready.push_back(i);
    }
    if (done == count) return;
    // Back along who is missing until one comes again.
    std::vector<int32_t> chain, place(count, -1);
    auto task = static_cast<int32_t>(
        std::find_if(missing.begin(), missing.end(), [](int32_t m) { return m > 0; }) -
        missing.begin());
    while (place[task] < 0) {
      place[task] = static_cast<int32_t>(chain.size());
      chain.push_back(task);
      int32_t on = -1;
      each_before(task, [&](int32_t earlier) { on = missing[earlier] > 0 ? earlier : on; });
      task = on;
    }
    std::string text;
    for (size_t i = static_cast<size_t>(place[task]); i < chain.size() && i < 20; ++i)
      text += std::string(word_of_[chain[i]].text) + " after ";
    Fail(word_of_[task], "tasks that do not wait for each other, as " + text +
                             std::string(word_of_[task].text) + " do");
  }

  // Every task and transfer one after another: no timing is later.
  void CheckTimes() const {
    const TrainingSchedule& s = out_.schedule;
    const std::string most = "at most " + ShowSeconds(kMaxPipelineTime) + " of work over all tasks";
    std::vector<Time> of_program(s.programs.size());
    for (const auto& [number, word] : programs_) {
      Seconds takes;
      for (const ProgramStep& step : s.programs[number])
        takes += out_.blocks[step.block].time * step.times;
      if (!(takes <= kMaxPipelineTime)) Fail(word, most);
      of_program[number] = Time::From(takes);
    }
    Seconds sum;
    for (int32_t i = 0; i < s.size(); ++i) {
      const Time program = of_program[s.program_of[i]];
      if (program + longer_[i] < Time{})
        Fail(word_of_[i], "a task that is shorter by no more than its program takes");
      sum += program.seconds() + Seconds(std::abs(longer_[i].seconds().value));
      for (int32_t d = s.dependency_begin[i]; d < s.dependency_begin[i + 1]; ++d)
        if (const int32_t transfer = s.dependencies[d].transfer; transfer >= 0)
          sum += out_.transfers[transfer].seconds();
      if (!(sum <= kMaxPipelineTime)) Fail(word_of_[i], most);
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t line_ = 0;  // before the one that is read
  std::vector<Word> words_;
  size_t next_ = 0;
  WrittenSchedule out_;
  Named blocks_, transfers_, programs_, tasks_;
  Named used_blocks_, used_transfers_, used_programs_;
  std::vector<Word> lane_words_;
  std::map<int64_t, int32_t> id_of_;  // a task's number to its place
  // By task.
  std::vector<Word> word_of_;
  std::vector<std::vector<Waits>> waits_;
  std::vector<Time> longer_;
};

}  // namespace

WrittenSchedule ReadSchedule(std::string_view text, const std::string& file) {
  return Reader(text, file).Read();
}

}  // namespace moecast
