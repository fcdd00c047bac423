#include "traces/request_formats/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

constexpr int64_t kPsPerSecond = 1'000'000'000'000;
constexpr int kPsDigits = 12;

}  // namespace

std::optional<Stamp> ParseDecimalSeconds(std::string_view text) {
  Stamp at;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), at.seconds);
  std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
  if (error == std::errc() && at.seconds >= 0 && text[0] != '-') {
    if (rest.empty()) return at;
    if (rest[0] == '.' && rest.size() > 1 && rest.find_first_not_of("0123456789", 1) == rest.npos) {
      int64_t unit = kPsPerSecond;
      for (const char c : rest.substr(1, kPsDigits)) at.ps += (c - '0') * (unit /= 10);
      return at;
    }
  }
  const auto number = ParseNumber(text);
  if (!number || !(*number >= 0 && *number < 1e18)) return std::nullopt;
  at.seconds = static_cast<int64_t>(*number);
  at.ps = std::llround((*number - static_cast<double>(at.seconds)) * 1e12);
  return at;
}

std::string PrintDecimalSeconds(Time t) {
  std::string digits = std::to_string(t.ps % kPsPerSecond);
  digits.insert(0, static_cast<size_t>(kPsDigits) - digits.size(), '0');
  digits.erase(digits.find_last_not_of('0') + 1);
  return std::to_string(t.ps / kPsPerSecond) + (digits.empty() ? "" : "." + digits);
}

void TraceBuilder::Add(const Stamp& at, int64_t input, int64_t output,
                       const std::function<void(const std::string&)>& fail) {
  if (!first_) first_ = at;
  const int64_t seconds = at.seconds - first_->seconds;
  const Time last = trace_.requests.empty() ? Time{} : trace_.requests.back().arrival;
  if (seconds > kLastArrivalSeconds) fail("a time within 100 days of the first");
  const Time arrival{seconds >= 0 ? seconds * kPsPerSecond + at.ps - first_->ps : -1};
  if (arrival < last)
    fail("no earlier time than the request before, " + PrintDecimalSeconds(last) +
         " s after the first");
  const auto blocks = trace_.hash_ids.size() - hashes_;
  if (trace_.hash_ids.size() > std::numeric_limits<uint32_t>::max())
    fail("at most 4294967295 hashes in all");
  trace_.requests.push_back(
      {arrival, input, output, static_cast<uint32_t>(hashes_), static_cast<uint32_t>(blocks)});
  hashes_ = trace_.hash_ids.size();
}

RequestTrace TraceBuilder::Finish(bool timed, int64_t block_tokens) {
  if (trace_.requests.empty())
    throw UserError({.file = trace_.file,
                     .value = trace_.left_out == 0
                                  ? "no requests"
                                  : std::to_string(trace_.left_out) +
                                        " requests without a prompt or an answer and no others",
                     .expected = "at least one request"});
  trace_.timed = timed;
  trace_.block_tokens = trace_.hash_ids.empty() ? 0 : block_tokens;
  return std::move(trace_);
}

void WithPart(std::string_view part, const std::string& file, int line, int column,
              const std::function<void(const JsonCursor&)>& f) {
  try {
    f(JsonCursor(ParseJson(part, file)));
  } catch (const UserError& e) {
    UserError::Parts parts = e.parts();
    int of_part = 0, column_of_part = 0;
    if (std::sscanf(parts.pointer.c_str(), "line %d, column %d", &of_part, &column_of_part) == 2)
      parts.pointer = "line " + std::to_string(line + of_part - 1) + ", column " +
                      std::to_string(of_part == 1 ? column + column_of_part - 1 : column_of_part);
    else
      parts.pointer = "line " + std::to_string(line) + ", column " + std::to_string(column) +
                      (parts.pointer.empty() ? "" : ", " + parts.pointer);
    throw UserError(parts);
  }
}

}  // namespace moecast
