#include "sim/forecast/forecast.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/check.h"
#include "base/random.h"

namespace moecast {
namespace {

constexpr char kCurveErrors[] = "errors common to a curve of a table";
constexpr char kOwnErrors[] = "each operator's own error";

// Adds the sources that some cost of the run's steps refers to. All steps count them alike.
void AddSources(const PreparedRun& run, std::set<SourceId>& sources) {
  for (size_t i = 0; i < run.phases(); ++i)
    run.step(i).blocks.Each([&sources](const StepBlock& block) {
      for (const Cost& c : block.costed.costs)
        if (c.sigma_table > 0) sources.insert(c.source);
    });
}

// By draw.
std::vector<double> LogGpuSecondsPerToken(const PreparedRun& run, std::span<const Noise> draws) {
  std::vector<double> gpu_seconds(draws.size());
  for (size_t p = 0; p < run.phases(); ++p) {
    const std::vector<PhaseTime> times = run.phase(p).Times(draws);
    for (size_t i = 0; i < draws.size(); ++i)
      gpu_seconds[i] += run.phase(p).gpus() * times[i].all.value;
  }
  for (double& value : gpu_seconds) value = std::log(value / run.tokens());
  return gpu_seconds;
}

double Variance(const std::vector<double>& x) {
  double mean = 0, sum = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  for (const double v : x) sum += (v - mean) * (v - mean);
  return sum / static_cast<double>(x.size());
}

// The dimensions of a draw: the first are the best spread. Scenarios with one calibration number
// its sources alike, so that they err alike in the same draw.
constexpr int kWholeStep = 0;
constexpr int kFirstUnknown = 1;
constexpr int kFirstSource = 9;

// Of more than there is room for before `end` the rest are drawn by key.
double PointOf(const Lattice& lattice, int i, int64_t dimension, int64_t end) {
  return dimension < end ? lattice.Point(i, static_cast<int>(dimension))
                         : lattice.KeyedPoint(i, static_cast<uint64_t>(dimension));
}

// What the draws of a forecast vary.
struct Uncertainties {
  std::vector<std::vector<int>> choices;  // by draw: of a value for each unknown field
  std::set<SourceId> sources;             // of some cost of some drawn plan
};

// Prepared variants by their choice, so that each distinct one is prepared once, and phases that an
// unknown does not touch once for all.
class Variants {
 public:
  Variants(const PreparedRun& base, const VariantOf& variant, StepCache& cache)
      : base_(base), variant_(variant), cache_(cache), known_(base.shared()) {}

  const PreparedRun& At(const std::vector<int>& choice) {
    if (std::all_of(choice.begin(), choice.end(), [](int c) { return c < 0; })) return base_;
    auto& slot = prepared_[choice];
    if (!slot) {
      slot = std::make_unique<PreparedRun>(variant_(choice), cache_, known_);
      MOECAST_CHECK(slot->phases() == base_.phases());
      for (const auto& phase : slot->shared())
        if (std::find(known_.begin(), known_.end(), phase) == known_.end()) known_.push_back(phase);
    }
    return *slot;
  }

 private:
  const PreparedRun& base_;
  const VariantOf& variant_;
  StepCache& cache_;
  PreparedRun::Phases known_;
  std::map<std::vector<int>, std::unique_ptr<PreparedRun>> prepared_;
};

// One thing at a time, the rest at its median: first-order shares of the variance. A source that
// only some of the drawn plans refer to counts as in those.
std::vector<UncertaintyShare> Shares(const PreparedRun& base,
                                     std::span<const UnknownField> unknowns, Variants& variants,
                                     const Uncertainties& uncertain,
                                     const ForecastOptions& options) {
  const CostSources& sources = *base.step(0).sources;
  std::vector<UncertaintyShare> shares;
  const Noise quiet{.by_source = BySource<double>(sources.size())};
  // The median of all, then one source after another, then what whole steps have.
  std::vector<Noise> draws = {quiet};
  for (const SourceId source : uncertain.sources) {
    draws.push_back(quiet);
    draws.back().by_source[source] = 1;
  }
  draws.push_back(quiet);
  draws.back().whole_step = 1;
  const std::vector<double> of_base = LogGpuSecondsPerToken(base, draws);
  std::map<const PreparedRun*, std::vector<double>> known;
  const auto of = [&](const PreparedRun& run) -> const std::vector<double>& {
    std::vector<double>& logs = known[&run];
    if (logs.empty()) logs = LogGpuSecondsPerToken(run, draws);
    return logs;
  };
  std::set<SourceId> sources_of_base;
  AddSources(base, sources_of_base);
  size_t draw = 0;
  for (const SourceId source : uncertain.sources) {
    ++draw;
    double share = 0;
    if (sources_of_base.contains(source)) {
      share = std::pow(of_base[draw] - of_base[0], 2);
    } else {
      for (const std::vector<int>& choice : uncertain.choices) {
        const std::vector<double>& logs = of(variants.At(choice));
        share += std::pow(logs[draw] - logs[0], 2) / static_cast<double>(uncertain.choices.size());
      }
    }
    if (share > 0) shares.push_back({TextOf(sources[source]), share});
  }
  if (const double m = of_base.back() - of_base[0]; m != 0)
    shares.push_back({"what whole steps have and kernels do not", m * m});
  for (size_t u = 0; u < unknowns.size(); ++u) {
    std::vector<double> values;
    std::vector<int> choice(unknowns.size(), -1);
    for (choice[u] = 0; choice[u] < unknowns[u].values; ++choice[u])
      values.push_back(LogGpuSecondsPerToken(variants.At(choice), {&quiet, 1})[0]);
    shares.push_back({"unknown " + unknowns[u].pointer, Variance(values)});
  }
  constexpr int kDrawsOfKeyed = 16;
  const auto keyed = [&](const char* name, const Lattice* Noise::*errors) {
    const Lattice lattice(KeyOf(name, options.seed));
    std::vector<Noise> drawn(kDrawsOfKeyed, quiet);
    for (int i = 0; i < kDrawsOfKeyed; ++i) {
      drawn[i].*errors = &lattice;
      drawn[i].draw = i;
    }
    shares.push_back({name, Variance(LogGpuSecondsPerToken(base, drawn))});
  };
  keyed(kCurveErrors, &Noise::curves);
  keyed(kOwnErrors, &Noise::own);

  double sum = 0;
  for (const UncertaintyShare& s : shares) sum += s.share;
  if (sum <= 0) return {};
  for (UncertaintyShare& s : shares) s.share /= sum;
  std::stable_sort(shares.begin(), shares.end(),
                   [](const auto& a, const auto& b) { return a.share > b.share; });
  return shares;
}

// The draws that have a phase, and what it takes in each.
struct DrawnPhase {
  std::vector<Noise> noise;
  std::vector<PhaseTime> times;
  size_t next = 0;
};

Draw DrawOf(const PreparedRun& run, size_t detailed, std::span<const PhaseTime> times) {
  Draw draw;
  for (size_t i = 0; i < run.phases(); ++i) {
    draw.phases.push_back(run.ExpenseOf(i, times[i].all));
    const PhaseMemory& memory = run.phase(i).memory();
    draw.memory_peak_bytes = std::max(draw.memory_peak_bytes, memory.peak.value);
    draw.fits = draw.fits && memory.fits;
  }
  draw.headlines = HeadlinesOf(run, detailed, times[detailed].step, draw.phases);
  return draw;
}

}  // namespace

Interval IntervalOf(const Forecast& forecast, const std::function<double(const Draw&)>& figure) {
  std::vector<double> samples;
  for (const Draw& d : forecast.draws) samples.push_back(figure(d));
  return IntervalOf(std::move(samples));
}

Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache) {
  Variants variants(base, variant, cache);
  const Lattice lattice(options.seed);
  Uncertainties uncertain;
  AddSources(base, uncertain.sources);
  std::set<const PreparedRun*> seen;
  std::vector<const PreparedRun*> runs;  // by draw
  for (int i = 0; i < options.samples; ++i) {
    std::vector<int>& choice = uncertain.choices.emplace_back();
    for (const UnknownField& u : unknowns)
      choice.push_back(static_cast<int>(
          PointOf(lattice, i, kFirstUnknown + (&u - unknowns.data()), kFirstSource) * u.values));
    runs.push_back(&variants.At(choice));
    if (seen.insert(runs.back()).second) AddSources(*runs.back(), uncertain.sources);
  }
  const CostSources& sources = *base.step(0).sources;
  // Draws of one phase are timed together.
  std::map<const PreparedPhase*, DrawnPhase> drawn;
  for (int i = 0; i < options.samples; ++i) {
    Noise noise{.by_source = BySource<double>(sources.size()),
                .whole_step = NormalQuantile(lattice.Point(i, kWholeStep)),
                .curves = &lattice,
                .own = &lattice,
                .draw = i};
    for (const SourceId source : uncertain.sources)
      noise.by_source[source] = NormalQuantile(
          PointOf(lattice, i, kFirstSource + static_cast<int64_t>(source), Lattice::kDimensions));
    for (size_t p = 0; p < runs[i]->phases(); ++p) drawn[&runs[i]->phase(p)].noise.push_back(noise);
  }
  Forecast f;
  std::vector<PhaseTime> times;
  for (const PreparedRun* run : runs) {
    times.clear();
    for (size_t p = 0; p < run->phases(); ++p) {
      DrawnPhase& draws = drawn[&run->phase(p)];
      if (draws.times.empty()) draws.times = run->phase(p).Times(draws.noise);
      times.push_back(draws.times[draws.next++]);
    }
    f.draws.push_back(DrawOf(*run, base.detailed(), times));
  }
  f.uncertainty = Shares(base, unknowns, variants, uncertain, options);
  return f;
}

}  // namespace moecast
