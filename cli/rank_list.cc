#include "cli/rank_list.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/error.h"

namespace moecast {

std::vector<int> ParseRanks(const std::string& text, int ranks, const std::string& option) {
  const auto fail = [&](std::string_view value, const std::string& expected) {
    throw UserError(
        {.file = option, .value = "\"" + Shortened(value) + "\"", .expected = expected});
  };
  const auto rank_of = [&](std::string_view number) {
    int rank = -1;
    const auto [rest, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    if (error == std::errc::invalid_argument || rest != number.data() + number.size() ||
        number[0] == '-')
      fail(text, "ranks such as 0-7,16,24-31");
    if (error != std::errc{} || rank >= ranks)
      fail(number, "ranks from 0 to " + std::to_string(ranks - 1) + ", the GPUs of the cluster");
    return rank;
  };
  std::vector<int> list;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    const std::string_view item = std::string_view(text).substr(begin, comma - begin);
    const size_t dash = item.find('-');
    const int first = rank_of(item.substr(0, dash));
    const int last = dash == std::string_view::npos ? first : rank_of(item.substr(dash + 1));
    if (last < first) fail(item, "the lower rank first");
    for (int rank = first; rank <= last; ++rank) list.push_back(rank);
    begin = comma + 1;
  }
  std::sort(list.begin(), list.end());
  if (const auto twice = std::adjacent_find(list.begin(), list.end()); twice != list.end())
    fail(text, "each rank once; rank " + std::to_string(*twice) + " comes again");
  return list;
}

}  // namespace moecast
