// What a command takes, declared: each option with its help and the variable its value goes to. The
// parser behind it is CLI11, which options.cc alone includes: its header takes longer to compile
// than a command.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace moecast {

// How an option is given. Without any of these it may be left out and its help shows no default.
struct OptionRules {
  bool required = false;
  bool show_default = false;  // the help shows the value that the variable has when it is declared
  bool repeated = false;      // of a list: the name stands before each value, "--set A --set B"
  char delimiter = '\0';      // of a list: between values in one word
  std::vector<std::string> one_of;  // the words it may be; any where empty
};

// The options of a command, or of one of its kinds ("moecast op gemm"). Copies stand for the same
// ones.
class OptionList {
 public:
  explicit OptionList(CLI::App& app) : app_(&app) {}

  // `name` is "--level", or "scenario" for a word that is known by its place. Variables must live
  // until CommandLine::Parse; they keep their value where the option is absent.
  void Add(const char* name, std::string& value, const std::string& help,
           const OptionRules& rules = {});
  void Add(const char* name, int64_t& value, const std::string& help,
           const OptionRules& rules = {});
  void Add(const char* name, uint64_t& value, const std::string& help,
           const OptionRules& rules = {});
  void Add(const char* name, double& value, const std::string& help, const OptionRules& rules = {});
  void Add(const char* name, std::optional<int64_t>& value, const std::string& help,
           const OptionRules& rules = {});
  void Add(const char* name, std::vector<std::string>& value, const std::string& help,
           const OptionRules& rules = {});
  void Add(const char* name, std::vector<double>& value, const std::string& help,
           const OptionRules& rules = {});
  // True where it stands; "--causal,!--no-causal" is false for the second.
  void AddFlag(const char* name, bool& value, const std::string& help);

  // A kind of the command; what the command takes may stand after the kind's name too.
  OptionList AddKind(const char* name, const std::string& help);
  void RequireKind();
  // Whether the command line names this command or kind; after CommandLine::Parse.
  bool named() const;

  // What the option was given, here or in the kind that is named; nothing where there is no such
  // option. After CommandLine::Parse.
  std::vector<std::string> GivenTo(const std::string& name) const;

  // Words that are no option and no value are kept, rather than refused.
  void KeepOtherWords();
  std::vector<std::string> OtherWords() const;

 private:
  CLI::App* app_;
};

// The whole command line, "moecast COMMAND ...".
class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& about, const std::string& version);
  ~CommandLine();

  OptionList AddCommand(const char* name, const std::string& help, const std::string& example);
  // Sets the variables. An exit code where there is nothing to run: 0 where --help or --version has
  // printed, 2 where the words are wrong, which it says on standard error.
  std::optional<int> Parse(int argc, char** argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace moecast
