// moecast scenario NAME: a scenario as it is read, every field with its value; --schema and
// --fields describe the format.
#include "scenarios/scenario.h"

#include <memory>

#include "base/error.h"
#include "cli/command.h"
#include "scenarios/builtin.h"
#include "viz/fields_view.h"

namespace moecast {

namespace {

constexpr char kFieldsText[] =
    "Made by `moecast scenario --fields`. A scenario is a JSON object; a field is named by its "
    "JSON pointer, "
    "`/0` is any\n"
    "element of a list. Every field can be set on the command line: `--set "
    "training/parallel/dp=64`. A field "
    "without a\n"
    "default is required.\n";

}  // namespace

Action DefineScenario(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario;
    std::vector<std::string> sets;
    bool schema = false, fields = false, list = false;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in scenario or the path of a file");
  list.Add("--set", o->sets, "overrides a field: training/parallel/dp=64; may be repeated",
           {.repeated = true});
  list.AddFlag("--schema", o->schema, "the JSON Schema of scenario files");
  list.AddFlag("--fields", o->fields, "every field with its meaning and default, as Markdown");
  list.AddFlag("--list", o->list, "the built-in scenarios");
  return [o, &common] {
    if (o->schema + o->fields + o->list + !o->scenario.empty() != 1)
      throw UserError({.file = "moecast scenario",
                       .expected = "one of: a scenario, --schema, --fields, --list"});
    const auto& table = FieldsOf(static_cast<const ScenarioSpec*>(nullptr));
    if (o->schema) {
      Json schema = table.Schema();
      schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
      Emit(common, schema, DumpJson(schema) + "\n");
    } else if (o->fields) {
      std::vector<FieldDoc> docs;
      table.Document("", docs);
      Emit(common, FieldsJson(docs),
           FieldsMarkdown("Fields of a training scenario", kFieldsText, docs));
    } else if (o->list) {
      Json names = Json::array();
      std::string text;
      for (const std::string_view name : BuiltinNames("training")) {
        names.push_back(name);
        text += std::string(name) + "\n";
      }
      Emit(common, names, text);
    } else {
      const Json resolved = table.Print(Scenario::Load(o->scenario, o->sets).spec());
      Emit(common, resolved, DumpJson(resolved) + "\n");
    }
  };
}

}  // namespace moecast
