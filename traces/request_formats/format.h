// What the formats of request traces share: the rows of their table, and the reading of decimal
// times, of CSV tables and of JSON texts that are a part of a file.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "traces/measurements.h"
#include "traces/requests.h"

namespace moecast {

extern const RequestFormat kAzureFormat, kBurstGptFormat, kMooncakeFormat, kShareGptFormat,
    kVidurFormat;

// A time of a file, which may count from any day: whole seconds and picoseconds of the next one.
struct Stamp {
  int64_t seconds = 0;
  int64_t ps = 0;
};

// "12.5", not negative, exact to the picosecond; what has an exponent to double's accuracy.
std::optional<Stamp> ParseDecimalSeconds(std::string_view text);
// The shortest such text, "12.5".
std::string PrintDecimalSeconds(Time t);

// Adds requests in the order of a file. Throws UserError for what does not follow, as `fail` (which
// throws) names it: fail("time", expected) is about its time.
class TraceBuilder {
 public:
  explicit TraceBuilder(const std::string& file) { trace_.file = file; }
  // Throws through `fail(expected)`, which is about the arrival. Hashes of this request are those
  // added to hash_ids() since the last.
  void Add(const Stamp& at, int64_t input, int64_t output,
           const std::function<void(const std::string& expected)>& fail);
  std::vector<uint64_t>& hash_ids() { return trace_.hash_ids; }
  void LeaveOut() { ++trace_.left_out; }
  RequestTrace Finish(bool timed, int64_t block_tokens);

 private:
  RequestTrace trace_;
  std::optional<Stamp> first_;
  size_t hashes_ = 0;
};

// Calls f with a cursor on `part`, which stands in the file at this line and column (from 1), and
// names these in every UserError.
void WithPart(std::string_view part, const std::string& file, int line, int column,
              const std::function<void(const JsonCursor&)>& f);

}  // namespace moecast
