// A command of the program: a row of the table in main.cc and one function, in a file of its own,
// that declares its options and returns what to do once they are parsed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "cli/options.h"

namespace moecast {

// The options every command has.
struct CommonOptions {
  std::string json;  // --json: a file, "-" for standard output, "" for none
  uint64_t seed = 1;
  std::vector<std::string> overrides;  // what --set was given, once it is parsed
};

using Action = std::function<void()>;  // throws UserError; every normal return is exit code 0

struct Command {
  const char* name;
  const char* help;
  const char* example;
  Action (*define)(OptionList list, const CommonOptions& common);
};

// Writes the JSON where --json asks for it, with what it is the answer to and of (overrides, seed,
// version), and the text to standard output, unless the JSON went there.
void Emit(const CommonOptions& common, Json json, const std::string& text);
// The same of what programs read on, a scenario or a list: as it is.
void EmitDocument(const CommonOptions& common, const Json& json, const std::string& text);

Action DefineCalibrate(OptionList list, const CommonOptions& common);
Action DefineCollective(OptionList list, const CommonOptions& common);
Action DefineDiff(OptionList list, const CommonOptions& common);
Action DefineModel(OptionList list, const CommonOptions& common);
Action DefineOp(OptionList list, const CommonOptions& common);
Action DefinePipeline(OptionList list, const CommonOptions& common);
Action DefineRouting(OptionList list, const CommonOptions& common);
Action DefineScenario(OptionList list, const CommonOptions& common);
Action DefineServe(OptionList list, const CommonOptions& common);
Action DefineTopo(OptionList list, const CommonOptions& common);
Action DefineTraffic(OptionList list, const CommonOptions& common);
Action DefineTrain(OptionList list, const CommonOptions& common);
Action DefineValidate(OptionList list, const CommonOptions& common);

}  // namespace moecast
