#include "sim/engine/linked_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "sim/network/link_shares.h"

namespace moecast {
namespace {

// Flows as good as done, of what they began with: rounding.
constexpr double kDone = 1e-12;

bool Meet(const UnitCollective& a, const UnitCollective& b) {
  return std::ranges::any_of(a.meets,
                             [&b](LinkId l) { return std::ranges::binary_search(b.meets, l); });
}

// A collective alone, phase by phase, with the sums that a FluidNetwork makes: what a flow has been
// served is counted on where it is rated anew.
class AlonePhases {
 public:
  AlonePhases(const LinkedCollective& collective, double slower, Time sent)
      : unit_(*collective.unit),
        bytes_(collective.bytes * collective.stretch * slower),
        now_(sent) {
    if (unit_.flows.size() > few_.size()) many_.resize(unit_.flows.size());
    flows_ = many_.empty() ? few_.data() : many_.data();
    std::fill_n(flows_, unit_.flows.size(), Flow{0, sent});
  }
  AlonePhases(const AlonePhases&) = delete;
  AlonePhases& operator=(const AlonePhases&) = delete;

  // The end of the phase at hand. REQUIRES: !done().
  Time End() const {
    const size_t f = phase().ends;
    return CompletionTime(flows_[f].since, BytesOf(f) - flows_[f].served, phase().rates[f]);
  }
  void Next() {
    now_ = End();
    if (++number_ == unit_.phases.size()) return;
    const std::vector<double>& before = unit_.phases[number_ - 1].rates;
    for (const size_t f : phase().rated) {
      flows_[f].served += before[f] * (now_ - flows_[f].since).seconds().value;
      flows_[f].since = now_;
    }
  }
  bool done() const { return number_ == unit_.phases.size(); }
  Time now() const { return now_; }
  bool Runs(size_t f) const { return phase().rates[f] > 0; }
  // Of a flow at a time within the phase.
  Bytes Served(size_t f, Time at) const {
    return Bytes(flows_[f].served + phase().rates[f] * (at - flows_[f].since).seconds().value);
  }

 private:
  struct Flow {
    double served;
    Time since;
  };
  const UnitCollective::Phase& phase() const { return unit_.phases[number_]; }
  double BytesOf(size_t f) const { return (unit_.flows[f].bytes * bytes_).value; }

  const UnitCollective& unit_;
  const double bytes_;
  Time now_;
  size_t number_ = 0;
  // Most collectives have few, and this is made for each.
  std::array<Flow, 4> few_;
  std::vector<Flow> many_;
  Flow* flows_;
};

// The claims of a block alone, by its own run.
void RunAlone(LinkedBlock& block, std::vector<OpSpan>* spans = nullptr) {
  RunningBlock run;
  run.Begin(*block.costed, block.time, block.is_shared, spans);
  std::vector<size_t> out;  // claims under way
  const auto run_on = [&](Seconds until, size_t ended) {
    size_t op = run.RunOn(until, ended);
    for (; op < RunningBlock::kNone; op = run.RunOn(until, ended)) {
      const LinkedCollective& shared = block.shared[op];
      const Seconds sent = run.now() + shared.alpha();
      for (const size_t other : out)
        block.loud = block.loud || Meet(*shared.unit, *block.shared[block.claims[other].op].unit);
      out.push_back(block.claims.size());
      block.claims.push_back({sent, sent + shared.flow_time(), 0, static_cast<int32_t>(op), false});
    }
    return op == RunningBlock::kWaits;
  };
  size_t ended = RunningBlock::kNone;
  for (Seconds until; run_on(until, ended);) {
    const auto end_of = [&](size_t claim) { return block.claims[claim].end; };
    const auto first = std::ranges::min_element(out, {}, end_of);
    ended = RunningBlock::kNone;
    until = run.Next();
    if (end_of(*first) > until) continue;
    LinkClaim& claim = block.claims[*first];
    until = claim.end;
    ended = static_cast<size_t>(claim.op);
    out.erase(first);
    run_on(until, RunningBlock::kNone);
    claim.settles = run.OnlyRuns(ended);
    if (claim.settles) run.PutClock(until, until);
  }
  block.total = run.now();
  block.ends_shared = ended != RunningBlock::kNone && run.last() == ended;
}

}  // namespace

void FindPhases(UnitCollective& unit, FairShares& shares) {
  const size_t n = unit.flows.size();
  std::vector<int32_t> kinds;
  std::vector<LinkShare> merged;
  std::vector<double> left;
  for (const UnitFlow& flow : unit.flows) {
    merged = flow.links;
    MergeShares(merged);
    kinds.push_back(shares.Add(merged));
    shares.Change(kinds.back(), flow.multiplicity);
    left.push_back(flow.bytes.value);
  }
  unit.phases.clear();
  unit.flow_time = 0;
  for (size_t running = n; running > 0;) {
    const std::span<const int32_t> solved = shares.Solve();
    UnitCollective::Phase phase{.ends = 0, .rates = std::vector<double>(n, 0), .rated = {}};
    double step = std::numeric_limits<double>::infinity();
    for (size_t f = 0; f < n; ++f) {
      if (left[f] < 0) continue;
      phase.rates[f] = shares.rate(kinds[f]);
      if (std::ranges::find(solved, kinds[f]) != solved.end()) phase.rated.push_back(f);
      if (left[f] / phase.rates[f] >= step) continue;
      step = left[f] / phase.rates[f];
      phase.ends = f;
    }
    unit.flow_time += step;
    for (size_t f = 0; f < n; ++f) {
      if (left[f] < 0) continue;
      left[f] -= phase.rates[f] * step;
      if (f != phase.ends && left[f] > unit.flows[f].bytes.value * kDone) continue;
      left[f] = -1;
      shares.Change(kinds[f], -unit.flows[f].multiplicity);
      --running;
    }
    unit.phases.push_back(std::move(phase));
  }
  shares.Solve();
}

Time EndAlone(const LinkedCollective& collective, double slower, Time sent) {
  const UnitCollective& unit = *collective.unit;
  if (unit.phases.size() == 1) {
    const UnitCollective::Phase& phase = unit.phases.front();
    const double bytes = collective.bytes * collective.stretch * slower;
    return CompletionTime(sent, (unit.flows[phase.ends].bytes * bytes).value,
                          phase.rates[phase.ends]);
  }
  AlonePhases run(collective, slower, sent);
  while (!run.done()) run.Next();
  return run.now();
}

void ServedAlone(const LinkedCollective& collective, double slower, Time sent, Time now,
                 std::vector<std::pair<size_t, Bytes>>& flows) {
  flows.clear();
  if (now == sent) {
    for (size_t f = 0; f < collective.unit->flows.size(); ++f) flows.emplace_back(f, Bytes(0));
    return;
  }
  AlonePhases run(collective, slower, sent);
  while (!run.done() && run.End() <= now) run.Next();
  for (size_t f = 0; f < collective.unit->flows.size() && !run.done(); ++f)
    if (run.Runs(f)) flows.emplace_back(f, run.Served(f, now));
}

LinkedSchedule::LinkedSchedule(const Schedule& schedule, int32_t blocks)
    : schedule_(&schedule), block_count_(blocks) {
  int ranks = 0;
  for (const Lane& lane : schedule.lanes) ranks = std::max(ranks, lane.rank + 1);
  index_.assign(static_cast<size_t>(ranks) * static_cast<size_t>(blocks), -1);
}

void LinkedSchedule::Set(int rank, int32_t block, LinkedBlock linked) {
  int32_t& at = index_[Key(rank, block)];
  MOECAST_CHECK(at < 0);
  at = static_cast<int32_t>(blocks_.size());
  linked.total = linked.alone;
  for (const LinkedCollective& shared : linked.shared)
    linked.is_shared.push_back(shared.unit != nullptr);
  if (!linked.shared.empty()) RunAlone(linked);
  blocks_.push_back(std::move(linked));
}

QuietProgram LinkedSchedule::Quiet(int rank, const Program& program) const {
  QuietProgram quiet;
  Seconds at;
  for (const ProgramStep& step : program) {
    const LinkedBlock& block = Of(rank, step.block);
    for (int i = 0; i < step.times; ++i) {
      const auto number = static_cast<int32_t>(quiet.blocks.size());
      quiet.blocks.push_back(step.block);
      quiet.begins.push_back(at);
      for (const LinkClaim& claim : block.claims)
        quiet.claims.push_back({at + claim.sent, at + claim.end, number, claim.op, claim.settles});
      at += block.total;
      quiet.alone += block.alone;
    }
    for (const LinkClaim& claim : block.claims) {
      const UnitCollective& unit = *block.shared[claim.op].unit;
      for (const UnitFlow& flow : unit.flows)
        quiet.flows += int64_t{flow.multiplicity} * step.times;
      quiet.links.insert(quiet.links.end(), unit.meets.begin(), unit.meets.end());
    }
  }
  quiet.begins.push_back(at);
  std::ranges::stable_sort(quiet.claims, {}, &LinkClaim::sent);
  if (!quiet.blocks.empty() && Of(rank, quiet.blocks.back()).ends_shared)
    quiet.last = static_cast<int32_t>(std::ranges::max_element(quiet.claims, {}, &LinkClaim::end) -
                                      quiet.claims.begin());
  std::ranges::sort(quiet.links);
  quiet.links.erase(std::unique(quiet.links.begin(), quiet.links.end()), quiet.links.end());
  const auto blocks = static_cast<int32_t>(quiet.blocks.size());
  quiet.loud.assign(quiet.blocks.size(), blocks);
  for (int32_t b = blocks; b-- > 0;)
    quiet.loud[b] = Of(rank, quiet.blocks[b]).loud ? b
                    : b + 1 < blocks               ? quiet.loud[b + 1]
                                                   : blocks;
  return quiet;
}

std::vector<OpSpan> SpansAlone(const LinkedBlock& block) {
  LinkedBlock again = block;
  again.claims.clear();
  std::vector<OpSpan> spans;
  RunAlone(again, &spans);
  return spans;
}

}  // namespace moecast
