// Traces that are tables, three columns of which count.
//   azure     AzurePublicDataset, LLM inference traces of 2023 and 2024 (Splitwise, ISCA 2024):
//             "2023-11-16 18:15:46.6805900", of 2024 with a zone behind it
//   burstgpt  BurstGPT (arXiv 2401.17644): seconds; what failed has no response tokens
//   vidur     Vidur (MLSys 2024): seconds; without arrived_at lengths alone
#include <algorithm>
#include <charconv>
#include <cstdio>

#include "traces/request_formats/format.h"

namespace moecast {
namespace {

struct Columns {
  std::string_view arrival, input, output;
  bool untimed_without_arrival = false;
  std::optional<Stamp> (*parse)(std::string_view text);
  const char* expected;  // of the arrival
};

// Days from 1970-01-01 to a day of the Gregorian calendar, and back (H. Hinnant, "chrono-Compatible
// Low-Level Date Algorithms").
int64_t DaysOf(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = year / 400, of_era = year % 400;
  const int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}
struct Date {
  int64_t year;
  int month, day;
};
Date DateOf(int64_t days) {
  days += 719468;
  const int64_t era = days / 146097, of_era = days % 146097;
  const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t month = (5 * of_year + 2) / 153;
  return {year + era * 400 + (month >= 10), static_cast<int>(month < 10 ? month + 3 : month - 9),
          static_cast<int>(of_year - (153 * month + 2) / 5 + 1)};
}

// A number of `digits` digits at `at`.
bool Digits(std::string_view text, size_t at, size_t digits, int& value) {
  if (text.size() < at + digits) return false;
  const char* first = text.data() + at;
  const auto [end, error] = std::from_chars(first, first + digits, value);
  return error == std::errc() && end == first + digits && *first != '-';
}

std::optional<Stamp> ParseDate(std::string_view text) {
  int year, month, day, hour, minute;
  if (!Digits(text, 0, 4, year) || !Digits(text, 5, 2, month) || !Digits(text, 8, 2, day) ||
      !Digits(text, 11, 2, hour) || !Digits(text, 14, 2, minute))
    return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || (text[10] != ' ' && text[10] != 'T') || text[13] != ':' ||
      text[16] != ':' || year < 1 || hour > 23 || minute > 59)
    return std::nullopt;
  const int64_t days = DaysOf(year, month, day);
  const Date back = DateOf(days);
  if (back.year != year || back.month != month || back.day != day) return std::nullopt;
  std::string_view seconds = text.substr(17);
  int64_t offset = 0;
  if (seconds.ends_with('Z')) seconds.remove_suffix(1);
  if (const size_t sign = seconds.find_first_of("+-"); sign != seconds.npos) {
    int hours, minutes;
    if (seconds.size() != sign + 6 || seconds[sign + 3] != ':' ||
        !Digits(seconds, sign + 1, 2, hours) || !Digits(seconds, sign + 4, 2, minutes))
      return std::nullopt;
    offset = (hours * 60 + minutes) * (seconds[sign] == '-' ? -60 : 60);
    seconds = seconds.substr(0, sign);
  }
  auto at = ParseDecimalSeconds(seconds);
  if (seconds.size() < 2 || !at || at->seconds >= 60) return std::nullopt;
  at->seconds += days * 86400 + hour * 3600 + minute * 60 - offset;
  return at;
}

// From the hour of the first published trace.
std::string PrintDate(Time t) {
  constexpr int64_t kFirstDay = 19677;  // 2023-11-16
  const int64_t ticks = (t.ps + 50'000) / 100'000, seconds = ticks / 10'000'000 + 18 * 3600;
  const Date date = DateOf(kFirstDay + seconds / 86400);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d:%02d.%07d",
                static_cast<int>(date.year), date.month, date.day,
                static_cast<int>(seconds / 3600 % 24), static_cast<int>(seconds / 60 % 60),
                static_cast<int>(seconds % 60), static_cast<int>(ticks % 10'000'000));
  return text;
}

constexpr Columns kAzure{"TIMESTAMP",       "ContextTokens",
                         "GeneratedTokens", false,
                         ParseDate,         "a time such as 2023-11-16 18:15:46.6805900"};
constexpr Columns kBurstGpt{"Timestamp", "Request tokens",    "Response tokens",
                            false,       ParseDecimalSeconds, "a number of seconds from 0"};
constexpr Columns kVidur{"arrived_at", "num_prefill_tokens", "num_decode_tokens",
                         true,         ParseDecimalSeconds,  "a number of seconds from 0"};

// Whether the first line that is no comment names one of the columns.
template <const Columns& kColumns>
bool LooksLike(std::string_view text) {
  while (text.starts_with('#')) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  text = text.substr(0, text.find_first_of("\r\n"));
  while (!text.empty()) {
    std::string_view name = text.substr(0, text.find(','));
    text.remove_prefix(std::min(name.size() + 1, text.size()));
    if (name.size() > 1 && name.starts_with('"') && name.ends_with('"'))
      name = name.substr(1, name.size() - 2);
    if (name == kColumns.arrival || name == kColumns.input || name == kColumns.output) return true;
  }
  return false;
}

template <const Columns& kColumns>
RequestTrace Read(std::string_view text, const std::string& file) {
  const Measurements table{std::string(text), file};
  const bool timed = !kColumns.untimed_without_arrival || table.Find(kColumns.arrival);
  const size_t arrival = timed ? table.Column(kColumns.arrival) : 0,
               input = table.Column(kColumns.input), output = table.Column(kColumns.output);
  TraceBuilder trace(file);
  for (size_t row = 0; row < table.rows(); ++row) {
    const auto at = timed ? kColumns.parse(table.Text(row, arrival)) : Stamp{};
    if (!at) table.Fail(row, arrival, kColumns.expected);
    const int64_t in = table.Integer(row, input, 0, kMostTokens),
                  out = table.Integer(row, output, 0, kMostTokens);
    if (in == 0 || out == 0)
      trace.LeaveOut();
    else
      trace.Add(*at, in, out,
                [&](const std::string& expected) { table.Fail(row, arrival, expected); });
  }
  return trace.Finish(timed, 0);
}

std::string WriteAzure(const RequestTrace& trace) {
  std::string text = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (const Request& r : trace.requests)
    text += PrintDate(r.arrival) + "," + std::to_string(r.input_tokens) + "," +
            std::to_string(r.output_tokens) + "\n";
  return text;
}
std::string WriteBurstGpt(const RequestTrace& trace) {
  std::string text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n";
  for (const Request& r : trace.requests)
    text += PrintDecimalSeconds(r.arrival) + ",unknown," + std::to_string(r.input_tokens) + "," +
            std::to_string(r.output_tokens) + "," +
            std::to_string(r.input_tokens + r.output_tokens) + ",API log\n";
  return text;
}
std::string WriteVidur(const RequestTrace& trace) {
  std::string text = "arrived_at,num_prefill_tokens,num_decode_tokens\n";
  for (const Request& r : trace.requests)
    text += PrintDecimalSeconds(r.arrival) + "," + std::to_string(r.input_tokens) + "," +
            std::to_string(r.output_tokens) + "\n";
  return text;
}

}  // namespace

const RequestFormat kAzureFormat{.name = "azure",
                                 .help = "a CSV with TIMESTAMP,ContextTokens,GeneratedTokens",
                                 .has_arrivals = true,
                                 .has_prefixes = false,
                                 .resolution = Time{100'000},
                                 .looks_like = LooksLike<kAzure>,
                                 .read = Read<kAzure>,
                                 .write = WriteAzure};
const RequestFormat kBurstGptFormat{.name = "burstgpt",
                                    .help = "a CSV with Timestamp,Request tokens,Response tokens",
                                    .has_arrivals = true,
                                    .has_prefixes = false,
                                    .resolution = Time{1},
                                    .looks_like = LooksLike<kBurstGpt>,
                                    .read = Read<kBurstGpt>,
                                    .write = WriteBurstGpt};
const RequestFormat kVidurFormat{
    .name = "vidur",
    .help = "a CSV with arrived_at,num_prefill_tokens,num_decode_tokens",
    .has_arrivals = true,
    .has_prefixes = false,
    .resolution = Time{1},
    .looks_like = LooksLike<kVidur>,
    .read = Read<kVidur>,
    .write = WriteVidur};

}  // namespace moecast
