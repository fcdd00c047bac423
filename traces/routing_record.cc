#include "traces/routing_record.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "traces/measurements.h"

namespace moecast {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view kMagic = "MOEROUTE";
enum Content : uint32_t { kCounts = 0, kChoices = 1, kWithAffinities = 2 };
// The bytes after the magic.
struct Header {
  uint32_t version = 1, content = kCounts, layers = 0, experts = 0, top_k = 0, zero = 0;
  uint64_t rows = 0;
};
static_assert(sizeof(Header) == 32);
constexpr size_t kHeaderEnd = 8 + sizeof(Header);
// So that no size of a header overflows, nor a table of CSV rows asks for more than a machine has.
constexpr int64_t kMostLayers = 4096, kMostRows = int64_t{1} << 32, kMostCells = int64_t{1} << 24;

[[noreturn]] void Fail(const std::string& file, const std::string& where, const std::string& value,
                       const std::string& expected) {
  throw UserError({.file = file, .pointer = where, .value = value, .expected = expected});
}

template <class T>
std::string_view Take(std::string_view text, size_t cells, std::vector<T>& out) {
  out.resize(cells);
  std::memcpy(out.data(), text.data(), cells * sizeof(T));
  return text.substr(cells * sizeof(T));
}
template <class T>
void Append(std::string& out, const std::vector<T>& cells) {
  out.append(reinterpret_cast<const char*>(cells.data()), cells.size() * sizeof(T));
}

std::string PlaceOf(const RoutingRecord& r, size_t cell) {
  const size_t token = cell / r.top_k;
  return "layer " + std::to_string(token / r.rows) + ", token " + std::to_string(token % r.rows);
}

// What both forms must hold: experts that exist, each once for a token, none after the first empty
// place; affinities that are numbers.
void CheckChoices(const RoutingRecord& r, const std::string& file) {
  for (size_t i = 0; i < r.choices.size(); ++i) {
    const uint16_t expert = r.choices[i];
    const size_t first = i - i % r.top_k;
    if (expert == kNoExpert) continue;
    if (expert >= r.experts)
      Fail(file, PlaceOf(r, i), "expert " + std::to_string(expert),
           "an expert from 0 to " + std::to_string(r.experts - 1));
    for (size_t j = first; j < i; ++j) {
      if (r.choices[j] == expert)
        Fail(file, PlaceOf(r, i), "expert " + std::to_string(expert) + " twice",
             "different experts of a token");
      if (r.choices[j] == kNoExpert)
        Fail(file, PlaceOf(r, i), "an expert after an empty place", "none");
    }
    if (!r.affinities.empty() && !(r.affinities[i] >= 0 && r.affinities[i] <= 1))
      Fail(file, PlaceOf(r, i), "affinity " + std::to_string(r.affinities[i]),
           "a number from 0 to 1");
  }
}

RoutingRecord ParseBinary(std::string_view text, const std::string& file, int experts) {
  if (text.size() < kHeaderEnd)
    Fail(file, "header", std::to_string(text.size()) + " bytes",
         std::to_string(kHeaderEnd) + " bytes");
  Header h;
  std::memcpy(&h, text.data() + kMagic.size(), sizeof h);
  const auto expect = [&](bool right, const char* what, uint64_t value,
                          const std::string& expected) {
    if (!right) Fail(file, std::string("header, ") + what, std::to_string(value), expected);
  };
  expect(h.version == 1, "version", h.version, "1");
  expect(h.content <= kWithAffinities, "content", h.content,
         "0 (counts), 1 (choices) or 2 (choices with affinities)");
  expect(h.layers >= 1 && h.layers <= kMostLayers, "layers", h.layers, "from 1 to 4096");
  expect(h.experts == static_cast<uint32_t>(experts), "experts", h.experts,
         "the model's " + std::to_string(experts));
  const bool counts = h.content == kCounts;
  expect(counts ? h.top_k == 0 : h.top_k >= 1 && h.top_k <= h.experts, "top_k", h.top_k,
         counts ? "0 with counts" : "from 1 to the experts");
  expect(h.zero == 0, "reserved", h.zero, "0");
  expect(h.rows >= 1 && h.rows <= static_cast<uint64_t>(kMostRows), "rows", h.rows,
         "from 1 to 4294967296");
  // At most 2^12 layers, 2^32 rows, 2^16 experts of 6 bytes: below 2^63.
  const uint64_t cells = uint64_t{h.layers} * h.rows * (counts ? h.experts : h.top_k);
  const uint64_t bytes = cells * (counts ? 4 : h.content == kChoices ? 2 : 6);
  if (text.size() - kHeaderEnd != bytes)
    Fail(file, "after the header", std::to_string(text.size() - kHeaderEnd) + " bytes",
         std::to_string(bytes) + " bytes, as layers, rows and experts of the header make");
  RoutingRecord r{.layers = static_cast<int>(h.layers),
                  .experts = experts,
                  .top_k = static_cast<int>(h.top_k),
                  .rows = static_cast<int64_t>(h.rows)};
  std::string_view rest = text.substr(kHeaderEnd);
  if (counts) {
    Take(rest, cells, r.counts);
  } else {
    rest = Take(rest, cells, r.choices);
    if (h.content == kWithAffinities) Take(rest, cells, r.affinities);
  }
  return r;
}

// Rows of a table, in order, as dense arrays.
class CsvRows {
 public:
  CsvRows(std::string_view text, const std::string& file, int experts)
      : table_(std::string(text), file), experts_(experts) {}

  RoutingRecord Parse() {
    const auto tokens = table_.Find("tokens");
    const size_t row_column = table_.Column(tokens ? "micro_batch" : "token");
    const size_t layer = table_.Column("layer");
    const size_t expert = table_.Column("expert");
    RoutingRecord r{.experts = experts_};
    for (size_t i = 0; i < table_.rows(); ++i) {
      r.layers =
          std::max(r.layers, static_cast<int>(table_.Integer(i, layer, 0, kMostLayers - 1)) + 1);
      r.rows = std::max(r.rows, table_.Integer(i, row_column, 0, kMostRows - 1) + 1);
    }
    if (table_.rows() == 0) Fail(table_.file(), "", "no rows", "at least one");
    const auto place = [&](size_t i) {
      return static_cast<size_t>(table_.Integer(i, layer, 0, r.layers) * r.rows +
                                 table_.Integer(i, row_column, 0, r.rows));
    };
    const auto cells_of = [&](int64_t width) {
      if (width * r.rows > kMostCells / r.layers)
        Fail(table_.file(), "",
             std::to_string(r.layers) + " layers of " + std::to_string(r.rows) + " rows",
             "at most 16777216 numbers in all; the binary form takes more");
      return static_cast<size_t>(r.layers * r.rows * width);
    };
    if (tokens) {
      r.counts.assign(cells_of(experts_), 0);
      for (size_t i = 0; i < table_.rows(); ++i)
        r.counts[place(i) * experts_ + table_.Integer(i, expert, 0, experts_ - 1)] +=
            static_cast<uint32_t>(table_.Integer(i, *tokens, 0, 1 << 30));
      return r;
    }
    std::vector<uint16_t> taken(cells_of(1));
    for (size_t i = 0; i < table_.rows(); ++i) {
      r.top_k = std::max<int>(r.top_k, ++taken[place(i)]);
      if (r.top_k > experts_) table_.Fail(i, row_column, "at most one row an expert");
    }
    const auto affinity = table_.Find("affinity");
    r.choices.assign(cells_of(r.top_k), kNoExpert);
    if (affinity) r.affinities.assign(r.choices.size(), 0.0f);
    std::fill(taken.begin(), taken.end(), uint16_t{0});
    for (size_t i = 0; i < table_.rows(); ++i) {
      const size_t cell = place(i) * r.top_k + taken[place(i)]++;
      r.choices[cell] = static_cast<uint16_t>(table_.Integer(i, expert, 0, experts_ - 1));
      if (affinity) r.affinities[cell] = static_cast<float>(table_.Number(i, *affinity, 0, 1));
    }
    return r;
  }

 private:
  Measurements table_;
  int experts_;
};

}  // namespace

RoutingRecord ParseRoutingRecord(std::string_view text, const std::string& file, int experts) {
  MOECAST_CHECK(experts > 0 && experts < kNoExpert);
  const bool binary = text.starts_with(kMagic);
  // A binary file of something else is no table either; say so before its lines are looked at.
  if (!binary && text.find('\0') != text.npos)
    Fail(file, "header", "\"" + Shortened(text.substr(0, kMagic.size())) + "\"",
         "\"" + std::string(kMagic) + "\" or a CSV table");
  RoutingRecord r =
      binary ? ParseBinary(text, file, experts) : CsvRows(text, file, experts).Parse();
  if (r.has_choices()) CheckChoices(r, file);
  return r;
}

std::string WriteRoutingRecord(const RoutingRecord& r) {
  const Header h{.content = !r.has_choices()       ? kCounts
                            : r.affinities.empty() ? kChoices
                                                   : kWithAffinities,
                 .layers = static_cast<uint32_t>(r.layers),
                 .experts = static_cast<uint32_t>(r.experts),
                 .top_k = static_cast<uint32_t>(r.top_k),
                 .rows = static_cast<uint64_t>(r.rows)};
  std::string out(kMagic);
  out.append(reinterpret_cast<const char*>(&h), sizeof h);
  Append(out, r.counts);
  Append(out, r.choices);
  Append(out, r.affinities);
  return out;
}

}  // namespace moecast
