#include "base/quantity_text.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>

namespace moecast {
namespace {

struct Unit {
  std::string_view name;
  double scale;
};

constexpr Unit kByteUnits[] = {{"B", 1},           {"KB", 1e3},           {"MB", 1e6},
                               {"GB", 1e9},        {"TB", 1e12},          {"KiB", 1024.0},
                               {"MiB", 1048576.0}, {"GiB", 1073741824.0}, {"TiB", 1099511627776.0}};
constexpr Unit kSecondUnits[] = {{"s", 1},     {"ps", 1e-12}, {"ns", 1e-9}, {"us", 1e-6},
                                 {"ms", 1e-3}, {"min", 60},   {"h", 3600},  {"d", 86400}};
constexpr Unit kRates[] = {{"B/s", 1},           {"KB/s", 1e3},          {"MB/s", 1e6},
                           {"GB/s", 1e9},        {"TB/s", 1e12},         {"Kb/s", 1e3 / 8},
                           {"Mb/s", 1e6 / 8},    {"Gb/s", 1e9 / 8},      {"Tb/s", 1e12 / 8},
                           {"MiB/s", 1048576.0}, {"GiB/s", 1073741824.0}};
constexpr Unit kFlopRates[] = {
    {"FLOP/s", 1}, {"GFLOP/s", 1e9}, {"TFLOP/s", 1e12}, {"PFLOP/s", 1e15}};
constexpr Unit kCounts[] = {{"", 1}, {"K", 1e3}, {"M", 1e6}, {"B", 1e9}, {"T", 1e12}};

std::string_view Trimmed(std::string_view t) {
  while (!t.empty() && t.front() == ' ') t.remove_prefix(1);
  while (!t.empty() && t.back() == ' ') t.remove_suffix(1);
  return t;
}

std::optional<double> Parse(std::string_view text, std::span<const Unit> units) {
  text = Trimmed(text);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  const std::string_view rest = Trimmed(text.substr(static_cast<size_t>(end - text.data())));
  for (const Unit& u : units) {
    if (rest != u.name) continue;
    const double value = number * u.scale;
    if (!std::isfinite(value)) return std::nullopt;
    return value;
  }
  return std::nullopt;
}

std::string Shortest(double x) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, x);
  return std::string(buffer, end);
}

// The unit that prints shortest among those that print exactly.
std::string Print(double value, std::span<const Unit> units) {
  std::string best;
  for (const Unit& u : units) {
    const double n = value / u.scale;
    if (n * u.scale != value) continue;
    const std::string text = Shortest(n) + std::string(u.name);
    if (best.empty() || text.size() < best.size()) best = text;
  }
  return best;
}

std::string Significant(double x, int digits) {
  if (x == 0) return "0";
  const int before = static_cast<int>(std::floor(std::log10(std::fabs(x)))) + 1;
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", std::max(0, digits - before), x);
  return buffer;
}

// `value` in the largest unit of `units` (ascending) not above it.
std::string Show(double value, std::span<const Unit> units, int digits) {
  const Unit* fit = &units[0];
  for (const Unit& u : units)
    if (std::fabs(value) >= u.scale * 0.9995) fit = &u;
  const std::string number = Significant(value / fit->scale, digits);
  return fit->name.empty() ? number : number + " " + std::string(fit->name);
}

}  // namespace

std::optional<double> ParseNumber(std::string_view text) {
  static constexpr Unit kNone[] = {{"", 1}};
  return Parse(text, kNone);
}

std::optional<Bytes> ParseBytes(std::string_view text) {
  const auto v = Parse(text, kByteUnits);
  return v ? std::optional(Bytes(*v)) : std::nullopt;
}
std::optional<Seconds> ParseSeconds(std::string_view text) {
  const auto v = Parse(text, kSecondUnits);
  return v ? std::optional(Seconds(*v)) : std::nullopt;
}
std::optional<BytesPerSecond> ParseRate(std::string_view text) {
  const auto v = Parse(text, kRates);
  return v ? std::optional(BytesPerSecond(*v)) : std::nullopt;
}
std::optional<FlopsPerSecond> ParseFlopRate(std::string_view text) {
  const auto v = Parse(text, kFlopRates);
  return v ? std::optional(FlopsPerSecond(*v)) : std::nullopt;
}
std::optional<Count> ParseCount(std::string_view text) {
  text = Trimmed(text);
  constexpr std::string_view kTokens = "tokens";
  if (text.ends_with(kTokens)) text.remove_suffix(kTokens.size());
  const auto v = Parse(text, kCounts);
  return v ? std::optional(Count(*v)) : std::nullopt;
}

std::string PrintBytes(Bytes b) {
  return Print(b.value, kByteUnits);
}
std::string PrintSeconds(Seconds s) {
  return Print(s.value, kSecondUnits);
}
std::string PrintRate(BytesPerSecond r) {
  return Print(r.value, kRates);
}
std::string PrintFlopRate(FlopsPerSecond r) {
  return Print(r.value, kFlopRates);
}
std::string PrintCount(Count n) {
  return Print(n.value, kCounts);
}

std::string ShowBytes(Bytes b, int digits) {
  static constexpr Unit kShown[] = {{"B", 1},
                                    {"KiB", 1024.0},
                                    {"MiB", 1048576.0},
                                    {"GiB", 1073741824.0},
                                    {"TiB", 1099511627776.0}};
  return Show(b.value, kShown, digits);
}
std::string ShowSeconds(Seconds s, int digits) {
  static constexpr Unit kShown[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
  return Show(s.value, kShown, digits);
}
std::string ShowCount(double n, int digits) {
  return Show(n, kCounts, digits);
}
std::string ShowNumber(double x, int digits) {
  return Significant(x, digits);
}

}  // namespace moecast
