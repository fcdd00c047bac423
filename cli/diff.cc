// moecast diff A B: why one plan is faster than another.
#include <memory>

#include "base/error.h"
#include "cli/command.h"
#include "cli/predict.h"
#include "viz/diff_view.h"

namespace moecast {

Action DefineDiff(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string a, b;
    std::vector<std::string> sets, sets_a, sets_b;
    int64_t samples = ForecastOptions{}.samples;
  };
  const auto o = std::make_shared<Options>();
  const auto set = [&list](const char* name, std::vector<std::string>& sets, const char* help) {
    list.Add(name, sets, help, {.repeated = true});
  };
  list.Add("a", o->a, "a built-in training scenario or the path of a file", {.required = true});
  list.Add("b", o->b, "the one it is compared with", {.required = true});
  set("--set", o->sets, "overrides a field of both: training/parallel/dp=64; may be repeated");
  set("--set-a", o->sets_a, "overrides a field of A, after --set");
  set("--set-b", o->sets_b, "overrides a field of B, after --set");
  list.Add("--samples", o->samples, "draws behind the intervals", {.show_default = true});
  return [o, &common] {
    const ForecastOptions options{.samples = CheckedSamples(o->samples), .seed = common.seed};
    const auto label = [&](const std::string& name, const std::vector<std::string>& own) {
      std::string text = name;
      for (const std::string& s : o->sets) text += " --set " + s;
      for (const std::string& s : own) text += " --set " + s;
      return text;
    };
    const Scenario a = Scenario::Load(o->a, o->sets, {"--set-a", o->sets_a}),
                   b = Scenario::Load(o->b, o->sets, {"--set-b", o->sets_b});
    const Prediction of_a = PredictTraining(a, options), of_b = PredictTraining(b, options);
    const DiffSide side_a{label(o->a, o->sets_a), of_a.report},
        side_b{label(o->b, o->sets_b), of_b.report};
    const auto& table = FieldsOf(static_cast<const ScenarioSpec*>(nullptr));
    const std::vector<JsonDifference> fields =
        DifferencesOf(table.Print(a.spec()), table.Print(b.spec()));
    const PlanDifference difference =
        Difference(of_a.report, of_a.forecast, of_b.report, of_b.forecast);
    Emit(common, DiffJson(side_a, side_b, fields, difference),
         DiffText(side_a, side_b, fields, difference));
  };
}

}  // namespace moecast
