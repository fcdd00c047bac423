// A trace of requests to a serving system: when each arrives, how long its prompt and its answer
// are and, where that is known, which prompts begin alike. Texts of traces are read by a table of
// formats (request_formats/); traces are drawn by traces/traffic.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace moecast {

// More tokens than this in a prompt or an answer are a mistake of the file.
inline constexpr int64_t kMostTokens = 100'000'000;
// Arrivals lie within 100 days of the first, which Time can hold.
inline constexpr int64_t kLastArrivalSeconds = 100 * 86400;

struct Request {
  Time arrival;
  int64_t input_tokens = 0;   // of the prompt, at least 1
  int64_t output_tokens = 0;  // of the answer, at least 1
  // The hashes of its prompt's blocks, from its start: a range of RequestTrace::hash_ids. Two
  // prompts that share a hash are alike up to the end of that block. May end before the prompt.
  uint32_t first_block = 0;
  uint32_t blocks = 0;

  friend bool operator==(const Request&, const Request&) = default;
};

struct RequestTrace {
  std::string file;               // or the name of what drew it
  std::vector<Request> requests;  // ordered by arrival
  std::vector<uint64_t> hash_ids;
  int64_t block_tokens = 0;  // of one hash; 0 where there are none
  bool timed = true;         // false where the format has no arrivals: all are at 0
  int64_t left_out = 0;      // requests of the file without a prompt or an answer: they failed
  // Closed loop: at most so many are in the system at a time; the next is sent when one has ended.
  std::optional<int64_t> concurrency;

  std::span<const uint64_t> BlocksOf(const Request& r) const {
    return {hash_ids.data() + r.first_block, r.blocks};
  }
};

// A format of traces, a row of the table.
struct RequestFormat {
  std::string_view name;
  std::string_view help;  // what marks it, for messages
  bool has_arrivals;
  bool has_prefixes;
  Time resolution;  // of arrivals that `write` keeps
  bool (*looks_like)(std::string_view text);
  // Adds the requests of the text, as they stand. Throws UserError with file, line and column.
  RequestTrace (*read)(std::string_view text, const std::string& file);
  // REQUIRES: has_prefixes and blocks of kMooncakeBlock tokens, or a trace without hashes.
  std::string (*write)(const RequestTrace& trace);
};

// Of Mooncake's traces (FAST 2025, section 4.3).
inline constexpr int64_t kMooncakeBlock = 512;

std::span<const RequestFormat* const> RequestFormats();
// Null where the text looks like no format.
const RequestFormat* FormatOf(std::string_view text);
// Throws UserError for an unknown name, with the nearest.
const RequestFormat& FormatNamed(const std::string& name);

// The trace in `text`, of the format that its content shows. The first request arrives at 0;
// requests of no input or no output tokens are counted in left_out. Throws UserError with file,
// line, column, value and what was expected: a text of no format, no requests, arrivals out of
// order or more than 100 days after the first, lengths negative or above kMostTokens, fields that
// miss or are no numbers.
RequestTrace ReadRequests(std::string_view text, const std::string& file);

// Throws UserError, about `file`, where the format holds hashes, but none of blocks of so many
// tokens. 0: there are no hashes.
void CheckBlocks(const RequestFormat& format, int64_t block_tokens, const std::string& file);

// The trace as a text that ReadRequests reads again: all of it but arrivals between the format's
// resolutions, arrivals or hashes where the format has none, and the time of the first arrival.
// Throws UserError as CheckBlocks does.
std::string WriteRequests(const RequestTrace& trace, const RequestFormat& format);

// The requests that arrive from `start` and before `start` + `duration` (kNever: to the end), of
// those the first `limit`; `start` becomes 0.
struct Slice {
  Time start;
  Time duration = kNever;
  int64_t limit = INT64_MAX;
};
RequestTrace Sliced(const RequestTrace& trace, const Slice& slice);

// The same requests at `factor` times the rate. REQUIRES: factor > 0; throws UserError where the
// last arrival is then out of Time's reach.
RequestTrace SpedUp(RequestTrace trace, double factor);

}  // namespace moecast
