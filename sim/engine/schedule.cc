#include "sim/engine/schedule.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

int32_t Schedule::LaneOf(int32_t task) const {
  MOECAST_CHECK(task >= 0 && task < size());
  const auto after = std::upper_bound(lane_begin.begin(), lane_begin.end(), task);
  return static_cast<int32_t>(after - lane_begin.begin()) - 1;
}

// Runs each lane until its next task waits for one not yet placed; that task, when it is placed,
// wakes the lane. A lane waits for one task at a time, so the waiting lanes form lists through two
// flat arrays, and the whole is linear.
Retimer::Retimer(const Schedule& schedule) {
  const std::vector<Lane>& lanes = schedule.lanes;
  const std::vector<int32_t>& lane_begin = schedule.lane_begin;
  const std::vector<int32_t>& program_of = schedule.program_of;
  const std::vector<int32_t>& dependency_begin = schedule.dependency_begin;
  const std::vector<Dependency>& dependencies = schedule.dependencies;
  const int32_t task_count = schedule.size();
  MOECAST_CHECK(lane_begin.size() == lanes.size() + 1 && lane_begin.front() == 0 &&
                lane_begin.back() == task_count);
  MOECAST_CHECK(dependency_begin.size() == program_of.size() + 1 && dependency_begin.front() == 0 &&
                dependency_begin.back() == static_cast<int32_t>(dependencies.size()));
  for (const int32_t program : program_of) {
    MOECAST_CHECK(program >= 0);
    programs_ = std::max(programs_, static_cast<size_t>(program) + 1);
  }
  for (const Dependency& d : dependencies) {
    MOECAST_CHECK(d.task >= 0 && d.task < task_count && d.transfer >= -1);
    transfers_ = std::max(transfers_, static_cast<size_t>(d.transfer + 1));
  }

  const auto lane_count = static_cast<int32_t>(lanes.size());
  std::vector<int32_t> next(lane_begin.begin(), lane_begin.end() - 1);  // by lane: its next task
  std::vector<int32_t> waiting_on(program_of.size(), -1);  // by task: a lane that waits for it
  std::vector<int32_t> also_waiting(lanes.size(),
                                    -1);  // by lane: another that waits for the same task
  std::vector<char> placed(program_of.size(), 0);
  std::vector<int32_t> ready(lanes.size());
  for (int32_t l = 0; l < lane_count; ++l) ready[l] = lane_count - 1 - l;

  steps_.reserve(program_of.size());
  while (!ready.empty()) {
    const int32_t lane = ready.back();
    ready.pop_back();
    for (int32_t& task = next[lane]; task < lane_begin[lane + 1]; ++task) {
      const int32_t first = dependency_begin[task], last = dependency_begin[task + 1];
      int32_t d = first;
      while (d < last && placed[dependencies[d].task]) ++d;
      if (d < last) {
        int32_t& waiters = waiting_on[dependencies[d].task];
        also_waiting[lane] = waiters;
        waiters = lane;
        break;
      }
      const bool behind_lane = task > lane_begin[lane];
      if (behind_lane && last - first < 2) {
        const Dependency only = first < last ? dependencies[first] : Dependency{task - 1, -1};
        steps_.push_back({task, program_of[task], only.task, only.transfer + 1});
      } else {
        steps_.push_back({task, program_of[task], -1, kOther});
        const auto begin = static_cast<int32_t>(dependencies_.size());
        dependencies_.insert(dependencies_.end(), dependencies.begin() + first,
                             dependencies.begin() + last);
        others_.push_back({behind_lane, begin, begin + last - first});
      }
      placed[task] = 1;
      for (int32_t l = waiting_on[task]; l >= 0; l = also_waiting[l]) ready.push_back(l);
    }
  }
  MOECAST_CHECK(steps_.size() ==
                program_of.size());  // else lane order and dependencies form a cycle
}

void Retimer::Run(std::span<const Time> duration, std::span<const Time> transfer, Timing& out,
                  std::span<const Time> longer) const {
  MOECAST_CHECK(duration.size() >= programs_ && transfer.size() >= transfers_);
  MOECAST_CHECK(longer.empty() || longer.size() == steps_.size());
  out.start.resize(steps_.size());
  out.end.resize(steps_.size());
  std::vector<Time> waits(1 + transfers_);
  std::copy_n(transfer.begin(), transfers_, waits.begin() + 1);
  Time* const start = out.start.data();
  Time* const end = out.end.data();
  const Other* other = others_.data();
  Time total{};
  for (const Step& step : steps_) {
    Time at;
    const auto wait_for = [&](int32_t task, int32_t wait) {
      at.ps = std::max(at.ps, (end[task] + waits[wait]).ps);
    };
    if (step.wait != kOther) {
      at = end[step.task - 1];
      wait_for(step.on, step.wait);
    } else {
      if (other->behind_lane) at = end[step.task - 1];
      for (int32_t d = other->first; d < other->last; ++d)
        wait_for(dependencies_[d].task, dependencies_[d].transfer + 1);
      ++other;
    }
    start[step.task] = at;
    end[step.task] = at + duration[step.program];
    if (!longer.empty()) end[step.task] += longer[step.task];
    total.ps = std::max(total.ps, end[step.task].ps);
  }
  out.total = total;
}

namespace {

// When a task ends in each set, whose lane is free at `free` and which waits for what ends at
// `before` and then `transfer`.
void End(const Retimer::Times& free, const Retimer::Times& before, const Retimer::Times& transfer,
         const Retimer::Times& takes, Retimer::Times& end) {
  for (size_t k = 0; k < Retimer::kTogether; ++k)
    end[k].ps = std::max(free[k].ps, before[k].ps + transfer[k].ps) + takes[k].ps;
}

}  // namespace

void Retimer::RunTogether(std::span<const Times> duration, std::span<const Times> transfer,
                          std::vector<Times>& end, std::span<const Times> longer) const {
  MOECAST_CHECK(duration.size() >= programs_ && transfer.size() >= transfers_);
  MOECAST_CHECK(longer.empty() || longer.size() == steps_.size());
  end.resize(steps_.size());
  constexpr Times kNothing{};  // no time is negative, so this is never waited for
  const Other* other = others_.data();
  for (const Step& step : steps_) {
    Times& ends = end[step.task];
    const auto wait_for = [&](const Times& free, int32_t task, int32_t transferred,
                              const Times& takes, Times& out) {
      End(free, end[task], transferred < 0 ? kNothing : transfer[transferred], takes, out);
    };
    if (step.wait != kOther) {
      wait_for(end[step.task - 1], step.on, step.wait - 1, duration[step.program], ends);
    } else {
      Times free = other->behind_lane ? end[step.task - 1] : kNothing;
      for (int32_t d = other->first; d < other->last; ++d)
        wait_for(free, dependencies_[d].task, dependencies_[d].transfer, kNothing, free);
      End(free, kNothing, kNothing, duration[step.program], ends);
      ++other;
    }
    if (longer.empty()) continue;
    for (size_t k = 0; k < kTogether; ++k) ends[k].ps += longer[step.task][k].ps;
  }
}

size_t Retimer::HeldBytes() const {
  const auto of = [](const auto& list) { return list.capacity() * sizeof(list[0]); };
  return of(steps_) + of(others_) + of(dependencies_);
}

}  // namespace moecast
