#include "sim/forecast/forecast.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/random.h"

namespace moecast {
namespace {

// Sources that some cost of the step refers to, ascending.
std::vector<uint16_t> UsedSources(const PreparedRun& run) {
  std::set<uint16_t> used;
  const auto use = [&used](const CostedOps& ops) {
    for (const Cost& c : ops.costs)
      if (c.sigma_table > 0) used.insert(c.source);
  };
  for (size_t i = 0; i < run.phases(); ++i) {
    for (int k = 0; k < kBlockKinds; ++k)
      for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
        use(run.step(i).Costed(static_cast<BlockKind>(k), pass));
    for (int s = 0; s < run.step(i).shape().stages; ++s) use(run.step(i).OptimizerCosted(s));
  }
  return {used.begin(), used.end()};
}

constexpr char kCurveErrors[] = "errors common to a curve of a table";
constexpr char kOwnErrors[] = "each operator's own error";

// Of one draw of the errors that are drawn by key rather than by stratified samples; never 0.
uint64_t SeedOf(const char* name, uint64_t seed, int draw) {
  return Random(KeyOf(name, seed) + static_cast<uint64_t>(draw)).Next() | 1;
}

double GpuHours(const PreparedRun& run, const Noise& noise) {
  std::vector<Seconds> times;
  for (size_t i = 0; i < run.phases(); ++i) times.push_back(run.step(i).StepTime(noise));
  return run.HeadlinesOf(times).gpu_hours_per_trillion_tokens;
}

double Variance(const std::vector<double>& x) {
  double mean = 0, sum = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  for (const double v : x) sum += (v - mean) * (v - mean);
  return sum / static_cast<double>(x.size());
}

// A run with what all draws of its costs share.
struct Variant {
  const PreparedRun* run = nullptr;
  Bytes memory;
};

// Prepared variants by their choice, so that each distinct one is prepared once.
class Variants {
 public:
  Variants(const PreparedRun& base, const VariantOf& variant, StepCache& cache)
      : base_(base), variant_(variant), cache_(cache) {}

  const Variant& At(const std::vector<int>& choice) {
    Known& known = known_[choice];
    if (known.variant.run) return known.variant;
    const bool is_base = std::all_of(choice.begin(), choice.end(), [](int c) { return c < 0; });
    if (!is_base) known.owned = std::make_unique<PreparedRun>(variant_(choice), cache_);
    const PreparedRun* run = is_base ? &base_ : known.owned.get();
    return known.variant = {run, run->PeakMemory()};
  }

 private:
  struct Known {
    std::unique_ptr<PreparedRun> owned;
    Variant variant;
  };
  const PreparedRun& base_;
  const VariantOf& variant_;
  StepCache& cache_;
  std::map<std::vector<int>, Known> known_;
};

// One thing at a time, the rest at its median: first-order shares of the variance.
std::vector<UncertaintyShare> Shares(const PreparedRun& base, std::span<const UnknownField> unknowns,
                                     Variants& variants, std::span<const uint16_t> sources,
                                     const ForecastOptions& options) {
  const size_t all_sources = base.step(0).sources().size();
  std::vector<UncertaintyShare> shares;
  const Noise quiet{std::vector<double>(all_sources, 0)};
  const double median = std::log(GpuHours(base, quiet));
  for (const uint16_t source : sources) {
    Noise noise = quiet;
    noise.by_source[source] = 1;
    const double moved = std::log(GpuHours(base, noise)) - median;
    shares.push_back({base.step(0).sources()[source], moved * moved});
  }
  if (const double sigma = base.run().whole_step.sigma; sigma > 0)
    shares.push_back({"what whole steps have and kernels do not", sigma * sigma});
  for (size_t u = 0; u < unknowns.size(); ++u) {
    std::vector<double> values;
    std::vector<int> choice(unknowns.size(), -1);
    for (choice[u] = 0; choice[u] < unknowns[u].values; ++choice[u])
      values.push_back(std::log(GpuHours(*variants.At(choice).run, quiet)));
    shares.push_back({"unknown " + unknowns[u].pointer, Variance(values)});
  }
  constexpr int kSeededDraws = 16;
  const auto seeded = [&](const char* name, uint64_t Noise::*seed) {
    std::vector<double> drawn;
    for (int i = 0; i < kSeededDraws; ++i) {
      Noise noise = quiet;
      noise.*seed = SeedOf(name, options.seed, i);
      drawn.push_back(std::log(GpuHours(base, noise)));
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

}  // namespace

PreparedRun::PreparedRun(TrainingRun run, StepCache& cache)
    : run_(std::make_unique<TrainingRun>(std::move(run))) {
  for (const TrainingPhase& phase : run_->plan.phases)
    steps_.push_back(std::make_unique<PreparedStep>(*run_, phase, cache));
}

double PreparedRun::GpuSecondsPerToken(size_t phase, Seconds step_time) const {
  const TrainingPhase& p = run_->plan.phases[phase];
  const double tokens = static_cast<double>(p.global_batch) * static_cast<double>(p.sequence_length);
  return step_time.value * static_cast<double>(run_->plan.parallel.gpus()) / tokens;
}

Headlines PreparedRun::HeadlinesOf(std::span<const Seconds> step_times) const {
  constexpr double kTrillion = 1e12, kHour = 3600, kDay = 86400;
  const TrainingPhase& first = run_->plan.phases.front();
  Headlines h;
  h.step_time_s = step_times[0].value;
  h.tokens_per_gpu_per_s = 1 / GpuSecondsPerToken(0, step_times[0]);
  h.model_tflops_per_gpu =
      h.tokens_per_gpu_per_s * TrainingFlopsPerToken(run_->model, first.sequence_length) / 1e12;
  h.mfu = h.model_tflops_per_gpu * 1e12 / run_->cluster.device.bf16_peak.value;
  double gpu_seconds = 0, tokens = 0;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const double n = run_->plan.phases[i].tokens.value;
    gpu_seconds += n * GpuSecondsPerToken(i, step_times[i]);
    tokens += n;
  }
  h.gpu_hours_per_trillion_tokens = gpu_seconds / tokens * kTrillion / kHour;
  h.gpu_hours_total = gpu_seconds / kHour;
  h.days = gpu_seconds / static_cast<double>(run_->plan.parallel.gpus()) / kDay;
  h.cost_usd = h.gpu_hours_total * run_->usd_per_gpu_hour;
  return h;
}

Bytes PreparedRun::PeakMemory() const {
  Bytes most;
  for (const StageMemory& m : steps_.front()->MemoryByStage()) most = std::max(most, m.total());
  return most;
}

Interval IntervalOf(const Forecast& forecast, double Headlines::*figure) {
  std::vector<double> samples;
  for (const Draw& d : forecast.draws) samples.push_back(d.headlines.*figure);
  return IntervalOf(std::move(samples));
}

Forecast ForecastRun(const PreparedRun& base, std::span<const UnknownField> unknowns,
                     const VariantOf& variant, const ForecastOptions& options, StepCache& cache) {
  Variants variants(base, variant, cache);
  const std::vector<uint16_t> sources = UsedSources(base);
  const size_t phases = base.phases();
  const std::vector<std::string>& names = base.step(0).sources();
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
  std::vector<std::vector<double>> step_times(phases), gpu_seconds(phases);
  for (int i = 0; i < options.samples; ++i) {
    std::vector<int> choice;
    for (size_t u = 0; u < unknowns.size(); ++u)
      choice.push_back(static_cast<int>(unknown_draws[u][i] * unknowns[u].values));
    const Variant& chosen = variants.At(choice);
    const PreparedRun& prepared = *chosen.run;
    Noise noise{std::vector<double>(prepared.step(0).sources().size(), 0),
                SeedOf(kCurveErrors, options.seed, i), SeedOf(kOwnErrors, options.seed, i),
                NormalQuantile(whole_step_draws[i])};
    for (size_t s = 0; s < sources.size(); ++s)
      noise.by_source.at(sources[s]) = NormalQuantile(source_draws[s][i]);
    std::vector<Seconds> times;
    for (size_t p = 0; p < phases; ++p) {
      times.push_back(prepared.step(p).StepTime(noise));
      step_times[p].push_back(times.back().value);
      gpu_seconds[p].push_back(prepared.GpuSecondsPerToken(p, times.back()));
    }
    f.draws.push_back({prepared.HeadlinesOf(times), chosen.memory.value,
                       chosen.memory <= prepared.run().cluster.device.memory});
  }
  for (size_t p = 0; p < phases; ++p) {
    f.step_time.push_back(IntervalOf(step_times[p]));
    f.gpu_seconds_per_token.push_back(IntervalOf(gpu_seconds[p]));
  }
  f.uncertainty = Shares(base, unknowns, variants, sources, options);
  return f;
}

}  // namespace moecast
