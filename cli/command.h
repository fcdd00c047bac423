// A command of the program: a row of the table in main.cc and one function, in a file of its own, that
// declares its options and returns what to do once they are parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "base/json.h"

namespace moecast {

// The options every command has.
struct CommonOptions {
  std::string json;  // --json: a file, "-" for standard output, "" for none
  uint64_t seed = 1;
};

using Action = std::function<void()>;  // throws UserError; every normal return is exit code 0

struct Command {
  const char* name;
  const char* help;
  const char* example;
  Action (*define)(CLI::App& app, const CommonOptions& common);
};

// Writes the JSON where --json asks for it and the text to standard output, unless the JSON went there.
void Emit(const CommonOptions& common, const Json& json, const std::string& text);

Action DefineCalibrate(CLI::App& app, const CommonOptions& common);
Action DefineCollective(CLI::App& app, const CommonOptions& common);
Action DefineDiff(CLI::App& app, const CommonOptions& common);
Action DefineModel(CLI::App& app, const CommonOptions& common);
Action DefineOp(CLI::App& app, const CommonOptions& common);
Action DefinePipeline(CLI::App& app, const CommonOptions& common);
Action DefineRouting(CLI::App& app, const CommonOptions& common);
Action DefineScenario(CLI::App& app, const CommonOptions& common);
Action DefineTopo(CLI::App& app, const CommonOptions& common);
Action DefineTrain(CLI::App& app, const CommonOptions& common);
Action DefineValidate(CLI::App& app, const CommonOptions& common);

}  // namespace moecast
