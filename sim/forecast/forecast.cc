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
  for (size_t i = 0; i < run.phases(); ++i)
    for (int k = 0; k < kBlockKinds; ++k)
      for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight})
        for (const Cost& c : run.step(i).Costed(static_cast<BlockKind>(k), pass).costs)
          if (c.sigma_table > 0) used.insert(c.source);
  return {used.begin(), used.end()};
}

double RunGpuSecondsPerToken(const PreparedRun& run, const Noise& noise) {
  double gpu_seconds = 0;
  for (size_t i = 0; i < run.phases(); ++i)
    gpu_seconds += run.phase(i).gpus() * run.phase(i).Time(noise).all.value;
  return gpu_seconds / run.tokens();
}

ExpenseInterval IntervalsOf(const std::vector<Expense>& draws) {
  const auto of = [&](double Expense::*member) {
    std::vector<double> values;
    for (const Expense& e : draws) values.push_back(e.*member);
    return IntervalOf(std::move(values));
  };
  return {of(&Expense::gpu_hours), of(&Expense::days), of(&Expense::cost_usd), of(&Expense::wall_days),
          of(&Expense::wall_cost_usd)};
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
  const size_t all_sources = base.step(0).sources().size();
  std::vector<UncertaintyShare> shares;
  const Noise quiet{std::vector<double>(all_sources, 0), 0};
  const double median = std::log(RunGpuSecondsPerToken(base, quiet));
  for (const uint16_t source : sources) {
    Noise noise = quiet;
    noise.by_source[source] = 1;
    const double moved = std::log(RunGpuSecondsPerToken(base, noise)) - median;
    shares.push_back({base.step(0).sources()[source], moved * moved});
  }
  for (size_t u = 0; u < unknowns.size(); ++u) {
    std::vector<double> values;
    std::vector<int> choice(unknowns.size(), -1);
    for (choice[u] = 0; choice[u] < unknowns[u].values; ++choice[u])
      values.push_back(std::log(RunGpuSecondsPerToken(variants.At(choice), quiet)));
    shares.push_back({"unknown " + unknowns[u].pointer, Variance(values)});
  }
  constexpr int kOwnDraws = 16;
  std::vector<double> own;
  for (int i = 0; i < kOwnDraws; ++i) {
    Noise noise = quiet;
    noise.own_seed = options.seed + static_cast<uint64_t>(i) + 1;
    own.push_back(std::log(RunGpuSecondsPerToken(base, noise)));
  }
  shares.push_back({"each operator's own error", Variance(own)});

  double sum = 0;
  for (const UncertaintyShare& s : shares) sum += s.share;
  if (sum <= 0) return {};
  for (UncertaintyShare& s : shares) s.share /= sum;
  std::stable_sort(shares.begin(), shares.end(),
                   [](const UncertaintyShare& a, const UncertaintyShare& b) { return a.share > b.share; });
  return shares;
}

}  // namespace

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

  Forecast f;
  std::vector<std::vector<double>> step_times(phases);
  std::vector<std::vector<Expense>> expenses(phases);
  std::vector<Expense> sums;
  for (int i = 0; i < options.samples; ++i) {
    std::vector<int> choice;
    for (size_t u = 0; u < unknowns.size(); ++u)
      choice.push_back(static_cast<int>(unknown_draws[u][i] * unknowns[u].values));
    const PreparedRun& prepared = variants.At(choice);
    Noise noise{std::vector<double>(prepared.step(0).sources().size(), 0),
                KeyOf("own", options.seed) + static_cast<uint64_t>(i)};
    for (size_t s = 0; s < sources.size(); ++s)
      noise.by_source.at(sources[s]) = NormalQuantile(source_draws[s][i]);
    Expense sum;
    for (size_t p = 0; p < phases; ++p) {
      const PhaseTime time = prepared.phase(p).Time(noise);
      step_times[p].push_back(time.step.value);
      expenses[p].push_back(prepared.ExpenseOf(p, time.all));
      sum += expenses[p].back();
    }
    sums.push_back(sum);
    f.run_samples.push_back(sum.gpu_hours * 3600 / prepared.tokens());
  }
  for (size_t p = 0; p < phases; ++p) {
    f.step_time.push_back(IntervalOf(step_times[p]));
    f.phases.push_back(IntervalsOf(expenses[p]));
  }
  f.run = IntervalsOf(sums);
  f.run_gpu_seconds_per_token = IntervalOf(f.run_samples);
  f.uncertainty = Shares(base, unknowns, variants, sources, options);
  return f;
}

}  // namespace moecast
