// ShareGPT's conversations: a JSON list of
//   {"id": "...", "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", ...}]}.
// As vLLM's and SGLang's benchmarks take it, a request is the first message of a conversation and
// its answer the second; conversations of fewer messages are left out. A message's tokens are its
// `tokens` where it has them, else its words / 0.75 rounded up. There are no arrivals. Items are
// parsed one by one, so that the file may be larger than a JSON text.
#include <cmath>

#include "base/error.h"
#include "base/known.h"
#include "traces/request_formats/format.h"

namespace moecast {
namespace {

constexpr Known kWordsPerToken{
    0.75, "OpenAI, What are tokens and how to count them: 1 token ~= 3/4 words of English"};

bool LooksLike(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size())).starts_with('[');
}

int64_t TokensOf(const JsonCursor& message) {
  if (message.Has("tokens")) return message.Key("tokens").Int(0, kMostTokens);
  const std::string& text = message.Required("value").Text();
  int64_t words = 0;
  bool within = false;
  for (const char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    words += !space && !within;
    within = !space;
  }
  const auto tokens =
      static_cast<int64_t>(std::ceil(static_cast<double>(words) / kWordsPerToken.value));
  if (tokens > kMostTokens) message.Fail("at most 100000000 tokens");
  return tokens;
}

void ReadConversation(const JsonCursor& at, TraceBuilder& trace) {
  const JsonCursor messages = at.Required("conversations");
  const int64_t input = messages.size() < 2 ? 0 : TokensOf(messages.At(0)),
                output = messages.size() < 2 ? 0 : TokensOf(messages.At(1));
  if (input == 0 || output == 0) return trace.LeaveOut();
  trace.Add({}, input, output, [&](const std::string& expected) { at.Fail(expected); });
}

// Walks over the text, knowing line and column.
class Position {
 public:
  Position(std::string_view text, const std::string& file) : text_(text), file_(file) {}
  bool AtEnd() const { return at_ == text_.size(); }
  char Now() const { return AtEnd() ? '\0' : text_[at_]; }
  size_t at() const { return at_; }
  int line() const { return line_; }
  int column() const { return static_cast<int>(at_ - line_start_) + 1; }
  void Step() {
    if (text_[at_++] != '\n') return;
    ++line_;
    line_start_ = at_;
  }
  void SkipSpace() {
    while (!AtEnd() && std::string_view(" \t\r\n").find(Now()) != std::string_view::npos) Step();
  }
  // Over one JSON value, up to a comma or a bracket that is not its own.
  void SkipValue() {
    int depth = 0;
    for (; !AtEnd(); Step()) {
      const char c = Now();
      if (c == '"') {
        for (Step(); !AtEnd() && Now() != '"'; Step()) {
          if (Now() == '\\') Step();
          if (AtEnd()) return;
        }
        if (AtEnd()) return;
      } else if (c == '[' || c == '{') {
        ++depth;
      } else if (c == ']' || c == '}') {
        if (depth-- == 0) return;
      } else if (c == ',' && depth == 0) {
        return;
      }
    }
  }
  [[noreturn]] void Fail(const char* expected) const {
    throw UserError(
        {.file = file_,
         .pointer = "line " + std::to_string(line_) + ", column " + std::to_string(column()),
         .value = AtEnd() ? "the end of the file" : "\"" + std::string(1, Now()) + "\"",
         .expected = expected});
  }

 private:
  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0, line_start_ = 0;
  int line_ = 1;
};

RequestTrace Read(std::string_view text, const std::string& file) {
  TraceBuilder trace(file);
  Position now(text, file);
  now.SkipSpace();
  now.Step();  // the bracket by which the format is known
  now.SkipSpace();
  while (now.Now() != ']') {
    const Position start = now;
    now.SkipValue();
    WithPart(text.substr(start.at(), now.at() - start.at()), file, start.line(), start.column(),
             [&](const JsonCursor& at) { ReadConversation(at, trace); });
    if (now.Now() == ']') break;
    if (now.Now() != ',') now.Fail("a comma or ]");
    now.Step();
    now.SkipSpace();
    if (now.Now() == ']') now.Fail("a conversation");
  }
  now.Step();
  now.SkipSpace();
  if (!now.AtEnd()) now.Fail("the end of the file");
  return trace.Finish(false, 0);
}

std::string Write(const RequestTrace& trace) {
  std::string text = "[";
  for (const Request& r : trace.requests)
    text += std::string(text.size() > 1 ? "," : "") +
            "\n{\"conversations\": [{\"from\": \"human\", \"tokens\": " +
            std::to_string(r.input_tokens) +
            "}, {\"from\": \"gpt\", \"tokens\": " + std::to_string(r.output_tokens) + "}]}";
  return text + "\n]\n";
}

}  // namespace

const RequestFormat kShareGptFormat{.name = "sharegpt",
                                    .help = "a JSON list of objects with conversations",
                                    .has_arrivals = false,
                                    .has_prefixes = false,
                                    .resolution = {},
                                    .looks_like = LooksLike,
                                    .read = Read,
                                    .write = Write};

}  // namespace moecast
