#include "base/error.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <numeric>

namespace moecast {
namespace {

std::string Message(const UserError::Parts& p) {
  std::string text;
  const auto add = [&text](const std::string& part, const char* before, const char* after = "") {
    if (part.empty()) return;
    if (!text.empty()) text += before;
    text += part + after;
  };
  add(p.file, "");
  add(p.pointer, ": ");
  add(p.value.empty() ? "" : "found " + p.value, ": ");
  add(p.expected.empty() ? "" : "expected " + p.expected, p.value.empty() ? ": " : ", ");
  if (!p.hint.empty()) text += " (did you mean \"" + p.hint + "\"?)";
  return text;
}

// Edits that turn a into b; a swap of neighbours counts one (optimal string alignment).
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> two(b.size() + 1), one(b.size() + 1), row(b.size() + 1);
  std::iota(one.begin(), one.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({one[j] + 1, row[j - 1] + 1, one[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], two[j - 2] + 1);
    }
    std::swap(two, one);
    std::swap(one, row);
  }
  return one[b.size()];
}

}  // namespace

UserError::UserError(Parts parts) : std::runtime_error(Message(parts)), parts_(std::move(parts)) {}

std::string Nearest(std::string_view name, std::span<const std::string_view> valid) {
  if (name.size() > 100) return "";
  std::string_view best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string_view v : valid) {
    const size_t d = EditDistance(name, v);
    if (d < best_distance && d < v.size()) {
      best = v;
      best_distance = d;
    }
  }
  return std::string(best);
}

std::string Join(std::span<const std::string_view> names, std::string_view separator) {
  std::string text;
  for (const std::string_view n : names) {
    if (!text.empty()) text += separator;
    text += n;
  }
  return text;
}

std::string Shortened(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= limit) return out + "...";
    if (std::iscntrl(static_cast<unsigned char>(c))) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace moecast
