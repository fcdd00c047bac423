// moecast serve SCENARIO: predicts a serving deployment under a load.
#include <memory>

#include "base/file.h"
#include "cli/command.h"
#include "scenarios/serving_scenario.h"
#include "sim/serving/prepare.h"
#include "viz/serve_view.h"

namespace moecast {

Action DefineServe(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario, requests;
    std::vector<std::string> sets;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in serving scenario or the path of a file",
           {.required = true});
  list.Add("--set", o->sets, "overrides a field: serving/parallel/tp=4; may be repeated",
           {.repeated = true});
  list.Add("--requests", o->requests, "write a row for each request to this CSV file");
  return [o, &common] {
    const ServingScenario scenario = ServingScenario::Load(o->scenario, o->sets, common.seed);
    ServingCosts costs(scenario.run);
    const Served served = Serve(scenario.run, costs.iterations());
    if (!o->requests.empty()) WriteFile(o->requests, RequestsCsv(scenario.run, served.outcome));
    Emit(common, ServeJson(served.report), ServeText(served.report));
  };
}

}  // namespace moecast
