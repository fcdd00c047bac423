// moecast scenario NAME: a scenario as it is read, every field with its value; --schema and
// --fields describe the format.
#include "scenarios/scenario.h"

#include <memory>
#include <string_view>

#include "base/error.h"
#include "cli/command.h"
#include "cli/named.h"
#include "scenarios/builtin.h"
#include "scenarios/serving_scenario.h"
#include "viz/fields_view.h"

namespace moecast {
namespace {

enum class ScenarioKind { kTraining, kServing };

}  // namespace

template <>
struct EnumNames<ScenarioKind> {
  static constexpr EnumName<ScenarioKind> kNames[] = {{ScenarioKind::kTraining, "training"},
                                                      {ScenarioKind::kServing, "serving"}};
};

namespace {

// What a kind of scenario files has, whatever its spec.
struct KindRow {
  Json (*schema)();
  void (*document)(std::vector<FieldDoc>&);
  Json (*resolved)(const std::string& name, const std::vector<std::string>& sets);
  const char* option;   // of `moecast scenario --fields`, for its own page
  const char* example;  // for --set
};

template <class Spec>
Json SchemaOf() {
  return FieldsOf(static_cast<const Spec*>(nullptr)).Schema();
}
template <class Spec>
void DocumentOf(std::vector<FieldDoc>& docs) {
  FieldsOf(static_cast<const Spec*>(nullptr)).Document("", docs);
}
template <class Spec>
Json Printed(const Spec& spec) {
  return FieldsOf(&spec).Print(spec);
}

constexpr KindRow kRows[] = {
    {SchemaOf<ScenarioSpec>, DocumentOf<ScenarioSpec>,
     [](const std::string& name, const std::vector<std::string>& sets) {
       return Printed(Scenario::Load(name, sets).spec());
     },
     "", "training/parallel/dp=64"},
    {SchemaOf<ServingSpec>, DocumentOf<ServingSpec>,
     [](const std::string& name, const std::vector<std::string>& sets) {
       return Printed(ServingScenario::Load(name, sets, 1).spec);
     },
     " --kind serving", "serving/replicas=2"},
};

std::string FieldsText(const KindRow& kind) {
  return std::string("Made by `moecast scenario --fields") + kind.option +
         "`. A scenario is a JSON object; a field is named by its JSON pointer, `/0` is any\n"
         "element of a list. Every field can be set on the command line: `--set " +
         kind.example + "`. A field without a\ndefault is required.\n";
}

}  // namespace

Action DefineScenario(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string scenario, kind{NameOf(ScenarioKind::kTraining)};
    std::vector<std::string> sets;
    bool schema = false, fields = false, list = false;
  };
  const auto o = std::make_shared<Options>();
  list.Add("scenario", o->scenario, "a built-in scenario or the path of a file");
  list.Add("--kind", o->kind, "training or serving", {.show_default = true});
  list.Add("--set", o->sets, "overrides a field: training/parallel/dp=64; may be repeated",
           {.repeated = true});
  list.AddFlag("--schema", o->schema, "the JSON Schema of scenario files");
  list.AddFlag("--fields", o->fields, "every field with its meaning and default, as Markdown");
  list.AddFlag("--list", o->list, "the built-in scenarios");
  return [o, &common] {
    if (o->schema + o->fields + o->list + !o->scenario.empty() != 1)
      throw UserError({.file = "moecast scenario",
                       .expected = "one of: a scenario, --schema, --fields, --list"});
    const auto kind = Named<ScenarioKind>("--kind", o->kind);
    const KindRow& row = kRows[static_cast<size_t>(kind)];
    if (o->schema) {
      Json schema = row.schema();
      schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
      EmitDocument(common, schema, DumpJson(schema) + "\n");
    } else if (o->fields) {
      std::vector<FieldDoc> docs;
      row.document(docs);
      EmitDocument(common, FieldsJson(docs),
                   FieldsMarkdown("Fields of a " + o->kind + " scenario", FieldsText(row), docs));
    } else if (o->list) {
      Json names = Json::array();
      std::string text;
      for (const std::string_view name : BuiltinNames(o->kind)) {
        names.push_back(name);
        text += std::string(name) + "\n";
      }
      EmitDocument(common, names, text);
    } else {
      const Json resolved = row.resolved(o->scenario, o->sets);
      EmitDocument(common, resolved, DumpJson(resolved) + "\n");
    }
  };
}

}  // namespace moecast
