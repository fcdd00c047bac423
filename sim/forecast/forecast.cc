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

// Sources that some cost of a step refers to, ascending. All steps count them alike.
std::vector<uint16_t> UsedSources(const PreparedRun& run) {
  std::set<uint16_t> used;
  const auto use = [&used](const CostedOps& ops) {
    for (const Cost& c : ops.costs)
      if (c.sigma_table > 0) used.insert(c.source);
  };
  for (size_t i = 0; i < run.phases(); ++i) {
    const StepBlocks& blocks = run.step(i).blocks;
    for (const auto& layer : blocks.layers) {
      if (!layer) continue;
      for (const StepBlock& pass : layer->passes) use(pass.costed);
    }
    for (const StepBlocks::OfStage& stage : blocks.of_stages) use(stage.optimizer->costed);
  }
  return {used.begin(), used.end()};
}

// Of one draw of the errors that are drawn by key rather than by stratified samples; never 0.
uint64_t SeedOf(const char* name, uint64_t seed, int draw) {
  return Random(KeyOf(name, seed) + static_cast<uint64_t>(draw)).Next() | 1;
}

double LogGpuSecondsPerToken(const PreparedRun& run, const Noise& noise) {
  return std::log(run.GpuSeconds([&noise](const Step& step) { return StepTime(step, noise); }) /
                  run.tokens());
}

double Variance(const std::vector<double>& x) {
  double mean = 0, sum = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  for (const double v : x) sum += (v - mean) * (v - mean);
  return sum / static_cast<double>(x.size());
}

// Prepared variants by their choice, so that each distinct one is prepared once, and phases that an unknown
// does not touch once for all.
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

// One thing at a time, the rest at its median: first-order shares of the variance.
std::vector<UncertaintyShare> Shares(const PreparedRun& base, std::span<const UnknownField> unknowns,
                                     Variants& variants, std::span<const uint16_t> sources,
                                     const ForecastOptions& options) {
  const std::vector<std::string>& names = *base.step(0).sources;
  std::vector<UncertaintyShare> shares;
  const Noise quiet{std::vector<double>(names.size(), 0)};
  const double median = LogGpuSecondsPerToken(base, quiet);
  const auto add = [&](const std::string& source, const Noise& noise) {
    const double moved = LogGpuSecondsPerToken(base, noise) - median;
    if (moved != 0) shares.push_back({source, moved * moved});
  };
  for (const uint16_t source : sources) {
    Noise noise = quiet;
    noise.by_source[source] = 1;
    add(names[source], noise);
  }
  Noise whole_step = quiet;
  whole_step.whole_step = 1;
  add("what whole steps have and kernels do not", whole_step);
  for (size_t u = 0; u < unknowns.size(); ++u) {
    std::vector<double> values;
    std::vector<int> choice(unknowns.size(), -1);
    for (choice[u] = 0; choice[u] < unknowns[u].values; ++choice[u])
      values.push_back(LogGpuSecondsPerToken(variants.At(choice), quiet));
    shares.push_back({"unknown " + unknowns[u].pointer, Variance(values)});
  }
  constexpr int kSeededDraws = 16;
  const auto seeded = [&](const char* name, uint64_t Noise::*seed) {
    std::vector<double> drawn;
    for (int i = 0; i < kSeededDraws; ++i) {
      Noise noise = quiet;
      noise.*seed = SeedOf(name, options.seed, i);
      drawn.push_back(LogGpuSecondsPerToken(base, noise));
    }
    shares.push_back({name, Variance(drawn)});
  };
  seeded(kCurveErrors, &Noise::curve_seed);
  seeded(kOwnErrors, &Noise::own_seed);

  double sum = 0;
  for (const UncertaintyShare& s : shares) sum += s.share;
  if (sum <= 0) return {};
  for (UncertaintyShare& s : shares) s.share /= sum;
  std::stable_sort(shares.begin(), shares.end(),
                   [](const UncertaintyShare& a, const UncertaintyShare& b) { return a.share > b.share; });
  return shares;
}

Draw DrawOf(const PreparedRun& run, size_t detailed, const Noise& noise) {
  Draw draw;
  Seconds step;
  for (size_t i = 0; i < run.phases(); ++i) {
    const PhaseTime time = run.phase(i).Time(noise);
    if (i == detailed) step = time.step;
    draw.phases.push_back(run.ExpenseOf(i, time.all));
    const PhaseMemory& memory = run.phase(i).memory();
    draw.memory_peak_bytes = std::max(draw.memory_peak_bytes, memory.peak.value);
    draw.fits = draw.fits && memory.fits;
  }
  draw.headlines = HeadlinesOf(run, detailed, step, draw.phases);
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
  const std::vector<uint16_t> sources = UsedSources(base);
  const std::vector<std::string>& names = *base.step(0).sources;
  // Dimensions are drawn by name: two scenarios that share a cost table or an unknown err alike in the same
  // sample.
  std::vector<std::vector<double>> unknown_draws, source_draws;
  for (const UnknownField& u : unknowns)
    unknown_draws.push_back(LatinHypercube(options.samples, KeyOf(u.pointer, options.seed)));
  for (const uint16_t source : sources)
    source_draws.push_back(LatinHypercube(options.samples, KeyOf(names[source], options.seed)));
  const std::vector<double> whole_step_draws =
      LatinHypercube(options.samples, KeyOf("whole step", options.seed));

  Forecast f;
  for (int i = 0; i < options.samples; ++i) {
    std::vector<int> choice;
    for (size_t u = 0; u < unknowns.size(); ++u)
      choice.push_back(static_cast<int>(unknown_draws[u][i] * unknowns[u].values));
    const PreparedRun& prepared = variants.At(choice);
    Noise noise{std::vector<double>(prepared.step(0).sources->size(), 0),
                SeedOf(kCurveErrors, options.seed, i), SeedOf(kOwnErrors, options.seed, i),
                NormalQuantile(whole_step_draws[i])};
    for (size_t s = 0; s < sources.size(); ++s)
      noise.by_source.at(sources[s]) = NormalQuantile(source_draws[s][i]);
    f.draws.push_back(DrawOf(prepared, base.detailed(), noise));
  }
  f.uncertainty = Shares(base, unknowns, variants, sources, options);
  return f;
}

}  // namespace moecast
