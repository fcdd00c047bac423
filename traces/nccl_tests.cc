#include "traces/nccl_tests.h"

#include <algorithm>

#include "base/error.h"
#include "base/quantity_text.h"

namespace moecast {
namespace {

constexpr std::string_view kCollectives[] = {
    "all_reduce", "all_gather", "reduce_scatter", "alltoall", "broadcast",
    "sendrecv",   "reduce",     "gather",         "scatter",  "hypercube"};
constexpr int kMostRanks = 1 << 20;

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  constexpr std::string_view kSpace = " \t\r";
  for (size_t at = 0; (at = line.find_first_not_of(kSpace, at)) != line.npos;) {
    const size_t end = std::min(line.find_first_of(kSpace, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  return words;
}

// The columns of a comment that names them, without '#'; empty for another line.
std::vector<std::string_view> ColumnsIn(std::string_view line) {
  std::vector<std::string_view> words = Words(line);
  if (words.size() < 2 || words[0] != "#" || words[1] != "size") return {};
  words.erase(words.begin());
  return std::count(words.begin(), words.end(), "time") > 0 ? words
                                                            : std::vector<std::string_view>{};
}

class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : text_(text) { test_.file = file; }

  NcclTest Read() {
    for (size_t at = 0; at < text_.size();) {
      const size_t end = std::min(text_.find('\n', at), text_.size());
      ++line_;
      ReadLine(text_.substr(at, end - at));
      at = end + 1;
    }
    line_ = 0;
    if (columns_.empty())
      Fail("no line of columns", "nccl-tests' \"# size count type ... time algbw busbw\"");
    if (test_.rows.empty()) Fail("no row of times", "at least one");
    if (test_.rank_hosts.size() < 2)
      Fail(std::to_string(test_.rank_hosts.size()) + " lines \"#  Rank N ... on HOST device\"",
           "one for each of two ranks or more");
    if (test_.collective.empty()) test_.collective = CollectiveInName();
    return std::move(test_);
  }

 private:
  [[noreturn]] void Fail(const std::string& found, const std::string& expected) const {
    throw UserError({.file = test_.file,
                     .pointer = line_ > 0 ? "line " + std::to_string(line_) : "",
                     .value = found,
                     .expected = expected});
  }

  void ReadLine(std::string_view line) {
    const std::vector<std::string_view> words = Words(line);
    if (words.empty()) return;
    if (words[0].starts_with('#')) {
      if (auto columns = ColumnsIn(line); !columns.empty())
        TakeColumns(columns);
      else if (words.size() > 2 && words[1] == "Rank")
        ReadRank(words);
      else if (words.size() == 5 && words[1] == "Collective" && words[3] == "starting:")
        ReadCollective(words[4]);
      return;
    }
    const bool number = words[0][0] >= '0' && words[0][0] <= '9';
    if (number && line.find("NCCL") == line.npos) ReadRow(words);
  }

  void ReadRank(const std::vector<std::string_view>& words) {
    const auto on = std::find(words.begin(), words.end(), "on");
    if (words.end() - on < 2) Fail(Shortened(words[2]), "\"Rank N ... on HOST device\"");
    if (words[2] != std::to_string(test_.rank_hosts.size()))
      Fail("rank " + Shortened(words[2]), "rank " + std::to_string(test_.rank_hosts.size()));
    if (test_.rank_hosts.size() >= kMostRanks)
      Fail("more ranks", "at most " + std::to_string(kMostRanks));
    test_.rank_hosts.emplace_back(on[1]);
  }

  void ReadCollective(std::string_view name) {
    if (name.ends_with("_perf")) name.remove_suffix(5);
    if (std::find(std::begin(kCollectives), std::end(kCollectives), name) == std::end(kCollectives))
      Fail("\"" + Shortened(name) + "\"", "one of " + Join(kCollectives));
    if (!test_.collective.empty() && test_.collective != name)
      Fail("a second collective, " + std::string(name), "one a file");
    test_.collective = name;
  }

  void TakeColumns(const std::vector<std::string_view>& columns) {
    if (!columns_.empty() && columns != columns_) Fail("other columns", "one test a file");
    columns_ = columns;
    time_.clear();
    for (size_t i = 0; i < columns.size(); ++i)
      if (columns[i] == "time") time_.push_back(i);
    type_ =
        static_cast<size_t>(std::find(columns.begin(), columns.end(), "type") - columns.begin());
    if (type_ == columns.size())
      Fail("columns without a type", "size, count, type, ..., time, algbw, busbw");
  }

  double Number(std::string_view word, std::string_view column, double low, double high) const {
    const auto x = ParseNumber(word);
    if (!x || *x < low || *x > high)
      Fail("\"" + Shortened(word) + "\" as " + std::string(column),
           "a number from " + ShowNumber(low) + " to " + ShowNumber(high));
    return *x;
  }

  void ReadRow(const std::vector<std::string_view>& words) {
    if (columns_.empty())
      Fail("a row before the line of columns", "\"# size count type ...\" first");
    if (words.size() != columns_.size())
      Fail(std::to_string(words.size()) + " fields",
           std::to_string(columns_.size()) + " as there are columns");
    constexpr double kMostBytes = 1e15, kMostMicroseconds = 1e12;
    NcclTestRow row{.line = line_, .type = std::string(words[type_])};
    const double bytes = Number(words[0], "size", 0, kMostBytes);
    row.bytes = static_cast<int64_t>(bytes);
    if (static_cast<double>(row.bytes) != bytes)
      Fail("\"" + Shortened(words[0]) + "\" as size", "whole bytes");
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i] != "#wrong" || words[i] == "N/A") continue;
      if (Number(words[i], "#wrong", 0, 1e18) > 0)
        Fail(Shortened(words[i]) + " wrong values", "a test whose results were right");
    }
    for (size_t t = 0; t < time_.size(); ++t) {
      const std::string_view word = words[time_[t]];
      if (t > 0 && word == "N/A") continue;
      const Seconds time = Microseconds(Number(word, "time", 0, kMostMicroseconds));
      if (time.value <= 0) Fail("\"" + Shortened(word) + "\" as time", "more than nothing");
      if (t == 0) row.out_of_place = time;
      if (t == 1) row.in_place = time;
    }
    // Every rank's own share of nothing is no measurement.
    if (row.bytes > 0) test_.rows.push_back(std::move(row));
  }

  // The longest name in the file's, so that reduce is not found in all_reduce.
  std::string CollectiveInName() const {
    std::string_view found;
    for (const std::string_view name : kCollectives)
      if (test_.file.find(name) != std::string::npos && name.size() > found.size()) found = name;
    if (found.empty())
      Fail("no collective, neither in the text nor in the file's name",
           "a file named after its test, such as all_reduce_perf.txt");
    return std::string(found);
  }

  std::string_view text_;
  int line_ = 0;
  std::vector<std::string_view> columns_;
  std::vector<size_t> time_;  // places of the columns called time: out-of-place, in-place
  size_t type_ = 0;
  NcclTest test_;
};

}  // namespace

bool LooksLikeNcclTest(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (!ColumnsIn(text.substr(at, end - at)).empty()) return true;
    at = end + 1;
  }
  return false;
}

NcclTest ParseNcclTest(std::string_view text, const std::string& file) {
  return Reader(text, file).Read();
}

}  // namespace moecast
