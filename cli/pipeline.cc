// `moecast pipeline`: a schedule alone, with the times of its tasks given.
#include "sim/pipeline/pipeline.h"

#include <algorithm>
#include <cstdio>

#include "base/error.h"
#include "base/file.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "sim/pipeline/schedule_text.h"
#include "sim/pipeline/timeline.h"
#include "traces/chrome_trace.h"

namespace moecast {
namespace {

struct Options {
  std::string schedule = "1f1b";
  std::optional<int64_t> stages, micro_batches, vpp;
  std::string forward;
  std::string backward;
  std::string weight;
  std::string pair;
  std::string comm = "0s";
  double memory_limit = 0, kept_for_weight = 1;
  std::optional<int64_t> weight_delay;
  std::string schedule_file;
  std::vector<std::string> print;
  std::string timeline;
};

// Either all that an order is built from is given or a file that says it all.
void CheckGiven(const Options& o) {
  static const Options kDefaults;
  struct Given {
    const char* name;
    bool given, required = false;
  };
  const Given of_an_order[] = {
      {"--stages", o.stages.has_value(), true},
      {"--micro-batches", o.micro_batches.has_value(), true},
      {"--forward", !o.forward.empty(), true},
      {"--backward", !o.backward.empty(), true},
      {"--weight", !o.weight.empty(), true},
      {"--schedule", o.schedule != kDefaults.schedule},
      {"--overlapped-pair", !o.pair.empty()},
      {"--comm", o.comm != kDefaults.comm},
      {"--vpp", o.vpp.has_value()},
      {"--weight-delay", o.weight_delay.has_value()},
      {"--memory-limit", o.memory_limit != kDefaults.memory_limit},
      {"--kept-for-weight", o.kept_for_weight != kDefaults.kept_for_weight}};
  const bool file = !o.schedule_file.empty();
  for (const Given& option : of_an_order) {
    if (file && option.given)
      throw UserError({.file = option.name,
                       .value = "it beside --schedule-file",
                       .expected = "no more than the file, which says what runs and how long"});
    if (!file && option.required && !option.given)
      throw UserError({.file = option.name, .expected = "it, or a --schedule-file"});
  }
}

const PipelineSchedule& ScheduleNamed(const std::string& name) {
  if (const PipelineSchedule* row = FindPipelineSchedule(name)) return *row;
  std::vector<std::string_view> names;
  for (const PipelineSchedule& row : PipelineSchedules()) names.push_back(row.name);
  throw UserError({.file = "--schedule",
                   .value = "\"" + Shortened(name) + "\"",
                   .expected = "one of " + Join(names),
                   .hint = Nearest(name, names)});
}

int Count(const char* option, int64_t value, int64_t high) {
  if (value < 1 || value > high)
    throw UserError(
        {.file = option,
         .value = std::to_string(value),
         .expected = (high == 1 ? "1" : "a whole number from 1 to " + std::to_string(high))});
  return static_cast<int>(value);
}

// "1ms" for every stage, or "1ms,2ms,..." with one for each.
std::vector<Seconds> StageTimes(const char* option, const std::string& text, int stages) {
  const auto fail = [&](const std::string& value, const std::string& expected) {
    throw UserError(
        {.file = option, .value = "\"" + Shortened(value) + "\"", .expected = expected});
  };
  std::vector<Seconds> times;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, comma - begin);
    const auto time = ParseSeconds(item);
    if (!time) fail(item, "a time with a unit such as 18.5ms");
    if (!(time->value >= 0 && *time <= kMaxPipelineTime))
      fail(item, "a time from 0s to " + PrintSeconds(kMaxPipelineTime));
    times.push_back(*time);
    begin = comma + 1;
  }
  if (times.size() == 1) times.resize(stages, times.front());
  if (times.size() != static_cast<size_t>(stages))
    fail(text,
         "one time" +
             (stages == 1 ? "" : ", or one for each of the " + std::to_string(stages) + " stages") +
             "; these are " + std::to_string(times.size()));
  return times;
}

// The times are of whole stages: a chunk takes its part of them. A second copy of the model is cut
// like the first.
std::vector<Time> ChunkTimes(const PipelineSchedule& schedule, const PipelineShape& shape,
                             const std::vector<Seconds>& by_stage) {
  std::vector<Time> times(shape.virtual_stages());
  for (int s = 0; s < shape.stages; ++s)
    for (int c = 0; c < shape.chunks; ++c)  // of the first copy
      times[schedule.virtual_stage(shape, s, c)] = Time::From(by_stage[s] / shape.chunks);
  for (int v = shape.pieces(); v < shape.virtual_stages(); ++v)
    times[v] = times[v - shape.pieces()];
  return times;
}

// The chunks asked for; where none are, the fewest that the schedule takes.
int ChunksOf(const Options& o, const PipelineSchedule& schedule, const PipelineShape& shape) {
  const int least = schedule.least_chunks;
  if (!o.vpp) return least;
  if (least == schedule.most_chunks && *o.vpp != least)
    throw UserError({.file = "--vpp",
                     .value = std::to_string(*o.vpp),
                     .expected = std::to_string(least) + ": schedule " + o.schedule + " has " +
                                 (least == 1 ? "one chunk" : std::to_string(least) + " chunks") +
                                 " a stage"});
  return Count("--vpp", *o.vpp,
               std::max<int64_t>(1, kMaxPipelineTasks / shape.stages / shape.micro_batches));
}

PipelineShape ShapeOf(const Options& o, const PipelineSchedule& schedule) {
  PipelineShape shape;
  shape.stages = Count("--stages", *o.stages, kMaxPipelineStages);
  shape.micro_batches =
      Count("--micro-batches", *o.micro_batches, kMaxPipelineTasks / shape.stages);
  shape.chunks = ChunksOf(o, schedule, shape);
  shape.copies = schedule.copies;
  shape.forward = ChunkTimes(schedule, shape, StageTimes("--forward", o.forward, shape.stages));
  shape.backward = ChunkTimes(schedule, shape, StageTimes("--backward", o.backward, shape.stages));
  shape.weight = ChunkTimes(schedule, shape, StageTimes("--weight", o.weight, shape.stages));
  if (!o.pair.empty()) {
    if (!schedule.pairs)
      throw UserError(
          {.file = "--overlapped-pair",
           .value = "\"" + Shortened(o.pair) + "\"",
           .expected = "a schedule that runs forwards together with backwards, not " + o.schedule});
    shape.pair = ChunkTimes(schedule, shape, StageTimes("--overlapped-pair", o.pair, shape.stages));
  }
  shape.transfer = Time::From(StageTimes("--comm", o.comm, 1).front());
  shape.memory_limit = o.memory_limit;
  shape.kept_for_weight = o.kept_for_weight;
  if (o.weight_delay) {
    if (*o.weight_delay < 0 || *o.weight_delay > kMaxPipelineTasks)
      throw UserError(
          {.file = "--weight-delay",
           .value = std::to_string(*o.weight_delay),
           .expected = "a whole number from 0 to " + std::to_string(kMaxPipelineTasks)});
    shape.weight_delay = static_cast<int>(*o.weight_delay);
  }
  if (const std::string expected = RejectPipeline(schedule, shape); !expected.empty())
    throw UserError({.file = "moecast pipeline", .expected = expected});
  return shape;
}

template <class... Arguments>
std::string Format(const char* format, Arguments... arguments) {
  char line[256];
  std::snprintf(line, sizeof line, format, arguments...);
  return line;
}

// A column is at most the shortest task; a letter is the phase, capital for even micro-batches, of
// a pair for an even one of the forward. Empty where it would not fit a screen.
std::string Picture(const PipelineShape& shape, const TrainingSchedule& schedule,
                    const Timing& timing) {
  constexpr int kStages = 16, kColumns = 110;
  Time shortest = kNever;
  for (size_t i = 0; i < schedule.tasks.size(); ++i)
    if (const Time t = timing.end[i] - timing.start[i]; t > Time{})
      shortest = std::min(shortest, t);
  if (shape.stages > kStages || shortest == kNever || timing.total.ps / shortest.ps >= kColumns)
    return "";
  const int64_t columns_a_task = kColumns * shortest.ps / timing.total.ps;
  const double column =
      static_cast<double>(shortest.ps) / static_cast<double>(std::max<int64_t>(1, columns_a_task));

  // By Phase; what a step does beside its passes as a dot.
  static constexpr char kLetters[] = "FBWBP....", kOddLetters[] = "fbwbp....";
  std::string picture;
  bool pairs = false;
  for (int s = 0; s < shape.stages; ++s) {
    std::string row(kColumns + 1, ' ');
    for (int32_t i = schedule.lane_begin[s]; i < schedule.lane_begin[s + 1]; ++i) {
      const Task& task = schedule.tasks[i];
      const char letter =
          (task.micro_batch % 2 == 0 ? kLetters : kOddLetters)[static_cast<int>(task.phase)];
      pairs = pairs || task.phase == Phase::kForwardBackward;
      const auto at = [&](Time t) {
        return static_cast<size_t>(std::lround(static_cast<double>(t.ps) / column));
      };
      for (size_t x = at(timing.start[i]); x < at(timing.end[i]); ++x) row[x] = letter;
    }
    row.erase(row.find_last_not_of(' ') + 1);
    picture += Format("%5d  ", s) + row + "\n";
  }
  return "\nstage  F forward, B backward, W weight gradients" +
         std::string(pairs ? ", P a forward together with a backward" : "") +
         "; capital: even micro-batch\n" + picture;
}

std::string TextOf(const std::string& name, const PipelineShape& shape,
                   const PipelineResult& result, const TrainingSchedule& schedule,
                   const Timing& timing) {
  std::string text =
      name + Format(": %d stages, %d micro-batches", shape.stages, shape.micro_batches);
  if (shape.chunks > 1) text += Format(", %d chunks a stage", shape.chunks);
  if (shape.copies > 1) text += Format(", %d copies of the model", shape.copies);
  text += "\n  total       " + ShowSeconds(result.total.seconds(), 4);
  text += "\n  stage span  " + ShowSeconds(result.stage_span.seconds(), 4);
  text += Format("\n  bubble      %.2f %%\n", 100 * result.bubble_rate);
  text += "\n                                              micro-batches alive, at most\n";
  text += "stage        starts          ends          busy    until B ends   until W ends\n";
  for (int s = 0; s < shape.stages; ++s) {
    const int32_t begin = schedule.lane_begin[s], end = schedule.lane_begin[s + 1];
    Time busy{};
    for (int32_t i = begin; i < end; ++i) busy += timing.end[i] - timing.start[i];
    text += Format("%5d  %12s  %12s  %12s  %14.4g %14.4g\n", s,
                   ShowSeconds(timing.start[begin].seconds(), 4).c_str(),
                   ShowSeconds(timing.end[end - 1].seconds(), 4).c_str(),
                   ShowSeconds(busy.seconds(), 4).c_str(), result.peak_until_backward[s],
                   result.peak_until_weight[s]);
  }
  return text + Picture(shape, schedule, timing);
}

Json TimelineJson(const TrainingSchedule& schedule, const Timing& timing) {
  Json timeline = Json::array();
  for (size_t l = 0; l < schedule.lanes.size(); ++l) {
    for (int32_t i = schedule.lane_begin[l]; i < schedule.lane_begin[l + 1]; ++i) {
      const Task& task = schedule.tasks[i];
      Json row = {{"stage", schedule.lanes[l].rank},
                  {"phase", NameOf(task.phase)},
                  {"micro_batch", task.micro_batch},
                  {"chunk", task.chunk},
                  {"start_s", timing.start[i].seconds().value},
                  {"end_s", timing.end[i].seconds().value}};
      if (task.phase == Phase::kForwardBackward) {
        row["backward_micro_batch"] = task.backward_micro_batch;
        row["backward_chunk"] = task.backward_chunk;
      }
      timeline.push_back(std::move(row));
    }
  }
  return timeline;
}

std::string TimelineText(const TrainingSchedule& schedule, const Timing& timing) {
  std::string text = "\nstage  task          chunk         start           end\n";
  for (size_t l = 0; l < schedule.lanes.size(); ++l) {
    for (int32_t i = schedule.lane_begin[l]; i < schedule.lane_begin[l + 1]; ++i) {
      const Task& task = schedule.tasks[i];
      text +=
          Format("%5d  %-12s  %5d  %12s  %12s\n", schedule.lanes[l].rank, TaskName(task).c_str(),
                 task.chunk, ShowSeconds(timing.start[i].seconds(), 6).c_str(),
                 ShowSeconds(timing.end[i].seconds(), 6).c_str());
    }
  }
  return text;
}

Json JsonOf(const std::string& name, const PipelineShape& shape, const PipelineResult& result) {
  Json peaks = Json::array();
  for (int s = 0; s < shape.stages; ++s)
    peaks.push_back({{"stage", s},
                     {"until_backward", result.peak_until_backward[s]},
                     {"until_weight", result.peak_until_weight[s]}});
  return {{"schedule", name},
          {"stages", shape.stages},
          {"micro_batches", shape.micro_batches},
          {"vpp", shape.chunks},
          {"total_time_s", result.total.seconds().value},
          {"stage_span_s", result.stage_span.seconds().value},
          {"bubble_rate", result.bubble_rate},
          {"peak_activations", std::move(peaks)},
          {"extrapolated_fraction", 0.0}};  // the times are given, none is estimated
}

// A schedule with its times, and the sizes that its summary speaks of.
struct Timed {
  PipelineShape shape;
  WrittenSchedule written;
};

Timed Built(const Options& o) {
  const PipelineSchedule& row = ScheduleNamed(o.schedule);
  const PipelineShape shape = ShapeOf(o, row);
  TrainingSchedule schedule = LowerPipeline(row, shape, row.build(shape));
  // A block a program, called after its virtual stage.
  const std::vector<Time> durations = PipelineDurations(row, shape);
  for (size_t i = 0; i < durations.size(); ++i)
    schedule.programs.push_back({{static_cast<int32_t>(i), 1}});
  const auto block = [&durations](int32_t id) {
    const auto phase = static_cast<Phase>(id % kPipelinePhases);
    return WrittenBlock{
        "piece " + std::to_string(id / kPipelinePhases) + " " + std::string(NameOf(phase)),
        durations[static_cast<size_t>(id)].seconds()};
  };
  return {shape, Written(std::move(schedule), block, {shape.transfer}, {})};
}

// Chunks count as micro-batches alive of their own: a file does not say what part of a stage they
// are.
Timed FromFile(const std::string& path) {
  Timed given{.shape = {}, .written = ReadSchedule(ReadFile(path), path)};
  const TrainingSchedule& schedule = given.written.schedule;
  given.shape.stages = static_cast<int>(
      std::count_if(schedule.lanes.begin(), schedule.lanes.end(),
                    [](const Lane& lane) { return lane.stream == Stream::kCompute; }));
  if (given.shape.stages == 0)
    throw UserError({.file = path, .value = "no lane of compute", .expected = "one or more"});
  for (const Task& task : schedule.tasks)
    given.shape.micro_batches =
        std::max({given.shape.micro_batches, task.micro_batch + 1, task.backward_micro_batch + 1});
  return given;
}

void RunPipeline(const Options& o, const CommonOptions& common) {
  CheckGiven(o);
  const Timed given = o.schedule_file.empty() ? Built(o) : FromFile(o.schedule_file);
  const TrainingSchedule& schedule = given.written.schedule;
  if (constexpr size_t kShown = 100'000;
      !(o.print.empty() && o.timeline.empty()) && schedule.tasks.size() > kShown)
    throw UserError({.file = o.print.empty() ? "--timeline" : "--print " + o.print.front(),
                     .value = std::to_string(schedule.tasks.size()) + " tasks",
                     .expected = "at most " + std::to_string(kShown)});
  if (o.timeline == "-" && common.json == "-")
    throw UserError(
        {.file = "--timeline", .value = "-, as --json", .expected = "a file for one of them"});
  const Timing timing = TimingOf(given.written);
  PipelineResult result = Summarize(given.shape, schedule, timing);
  // A step may begin with weights that are gathered, before any stage computes.
  result.total = timing.total;

  const std::string name = o.schedule_file.empty() ? o.schedule : o.schedule_file;
  Json json = JsonOf(name, given.shape, result);
  std::string text = TextOf(name, given.shape, result, schedule, timing);
  for (const std::string& part : o.print) {
    if (part == "schedule") {
      json["schedule_text"] = PrintSchedule(given.written, timing);
      text += "\n" + PrintSchedule(given.written, timing);
    } else {
      json["timeline"] = TimelineJson(schedule, timing);
      text += TimelineText(schedule, timing);
    }
  }
  if (!o.timeline.empty()) WriteFile(o.timeline, WriteChromeTrace(TimelineOf(schedule, timing)));
  Emit(common, json, o.timeline == "-" ? "" : text);
}

}  // namespace

Action DefinePipeline(OptionList list, const CommonOptions& common) {
  auto o = std::make_shared<Options>();
  std::string schedules = "order of the tasks:";
  for (const PipelineSchedule& row : PipelineSchedules())
    schedules += "\n  " + std::string(row.name) + ": " + std::string(row.help);
  list.Add("--schedule", o->schedule, schedules, {.show_default = true});
  list.Add("--stages", o->stages, "pipeline stages");
  list.Add("--micro-batches", o->micro_batches, "micro-batches a step");
  list.Add("--forward", o->forward,
           "time of a stage's forward pass of a micro-batch: 30ms, or 30ms,31ms,... by stage");
  list.Add("--backward", o->backward, "... of its gradients of activations");
  list.Add("--weight", o->weight, "... of its gradients of weights");
  list.Add(
      "--overlapped-pair", o->pair,
      "... of its forward pass together with the full backward pass of another micro-batch, "
      "with the schedules that overlap them; as long as both one after the other where absent");
  list.Add("--comm", o->comm, "time to pass activations or gradients to a neighbouring stage",
           {.show_default = true});
  list.Add("--vpp", o->vpp,
           "model chunks a stage: any number with interleaved, 2 with the V schedules; the times "
           "are still of a whole stage");
  list.Add("--weight-delay", o->weight_delay,
           "most micro-batches whose weight gradients a stage puts off; the schedule's own where "
           "absent");
  list.Add("--memory-limit", o->memory_limit,
           "most micro-batches a stage may hold alive; 0: as many as the schedule does",
           {.show_default = true});
  list.Add("--kept-for-weight", o->kept_for_weight,
           "what a micro-batch keeps from B to W, of what it keeps from F to B; counts in "
           "--memory-limit, which zb-1p and zb-2p order by",
           {.show_default = true});
  list.Add("--schedule-file", o->schedule_file,
           "time the schedule of this file instead, as --print schedule of this command or of "
           "train shows one; all options above are for an order that is built");
  list.Add("--print", o->print,
           "timeline: start and end of every task; schedule: the text that --schedule-file reads",
           {.repeated = true, .delimiter = ',', .one_of = {"timeline", "schedule"}});
  list.Add("--timeline", o->timeline,
           "write the schedule to this file, which ui.perfetto.dev opens");
  return [o, &common] { RunPipeline(*o, common); };
}

}  // namespace moecast
