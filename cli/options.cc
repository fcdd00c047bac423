#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"

namespace moecast {
namespace {

template <class T>
void AddTo(CLI::App& app, const char* name, T& value, const std::string& help,
           const OptionRules& rules) {
  CLI::Option* option = app.add_option(name, value, help);
  if (rules.required) option->required();
  if (rules.show_default) option->capture_default_str();
  if (rules.repeated) option->allow_extra_args(false);
  if (rules.delimiter != '\0') option->delimiter(rules.delimiter);
  if (!rules.one_of.empty()) option->check(CLI::IsMember(rules.one_of));
}

// " (did you mean --set?)" for the first word that looks like an option and is none.
std::string OptionHint(const CLI::App& app) {
  for (const CLI::App* sub : app.get_subcommands()) {
    std::vector<std::string> names;
    for (const CLI::Option* option : sub->get_options()) names.push_back(option->get_name());
    const std::vector<std::string_view> views(names.begin(), names.end());
    for (const std::string& word : sub->remaining(true))
      if (const std::string near = word.starts_with("-") ? Nearest(word, views) : ""; !near.empty())
        return " (did you mean " + near + "?)";
  }
  return "";
}

}  // namespace

void OptionList::Add(const char* name, std::string& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, int64_t& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, uint64_t& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, double& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, std::optional<int64_t>& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, std::vector<std::string>& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::Add(const char* name, std::vector<double>& value, const std::string& help,
                     const OptionRules& rules) {
  AddTo(*app_, name, value, help, rules);
}
void OptionList::AddFlag(const char* name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
}

OptionList OptionList::AddKind(const char* name, const std::string& help) {
  CLI::App* kind = app_->add_subcommand(name, help);
  kind->fallthrough();
  return OptionList(*kind);
}
void OptionList::RequireKind() {
  app_->require_subcommand(1);
}
bool OptionList::named() const {
  return app_->parsed();
}

std::vector<std::string> OptionList::GivenTo(const std::string& name) const {
  const CLI::Option* option = app_->get_option_no_throw(name);
  std::vector<std::string> given = option ? option->results() : std::vector<std::string>();
  for (CLI::App* kind : app_->get_subcommands()) {
    const std::vector<std::string> of_kind = OptionList(*kind).GivenTo(name);
    given.insert(given.end(), of_kind.begin(), of_kind.end());
  }
  return given;
}

void OptionList::KeepOtherWords() {
  app_->allow_extras();
}
std::vector<std::string> OptionList::OtherWords() const {
  return app_->remaining(true);
}

CommandLine::CommandLine(const std::string& name, const std::string& about,
                         const std::string& version)
    : app_(std::make_unique<CLI::App>(about, name)) {
  app_->require_subcommand(1);
  app_->set_version_flag("--version", version);
}
CommandLine::~CommandLine() = default;

OptionList CommandLine::AddCommand(const char* name, const std::string& help,
                                   const std::string& example) {
  CLI::App* command = app_->add_subcommand(name, help);
  command->footer("Example:\n  " + example);
  return OptionList(*command);
}

std::optional<int> CommandLine::Parse(int argc, char** argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app_->exit(e);  // --help, --version
    std::fprintf(stderr, "error: %s%s\n", e.what(), OptionHint(*app_).c_str());
    return 2;
  }
  return std::nullopt;
}

}  // namespace moecast
