// Mooncake's traces (FAST 2025): a JSON object a line,
//   {"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
// with milliseconds and a hash for each block of 512 tokens of the prompt, the last one of what is
// left. Hashes may miss, all or the last ones; other fields are passed over.
#include <cmath>

#include "traces/request_formats/format.h"

namespace moecast {
namespace {

bool LooksLike(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const std::string_view line = text.substr(0, text.find('\n'));
  return line.starts_with('{') &&
         (line.find("\"timestamp\"") != line.npos || line.find("\"input_length\"") != line.npos);
}

void ReadLine(const JsonCursor& at, TraceBuilder& trace) {
  const JsonCursor timestamp = at.Required("timestamp");
  const double ms = timestamp.Number(0, 1e15);
  const int64_t input = at.Required("input_length").Int(0, kMostTokens),
                output = at.Required("output_length").Int(0, kMostTokens);
  if (input == 0 || output == 0) return trace.LeaveOut();
  if (at.Has("hash_ids")) {
    const JsonCursor hashes = at.Key("hash_ids");
    const auto most = static_cast<size_t>((input + kMooncakeBlock - 1) / kMooncakeBlock);
    if (hashes.size() > most)
      hashes.Fail("at most " + std::to_string(most) + " hashes, one for each " +
                  std::to_string(kMooncakeBlock) + " tokens of input_length");
    for (size_t i = 0; i < hashes.size(); ++i) {
      const Json& hash = hashes.json()[i];
      if (!hash.is_number_unsigned()) hashes.At(i).Fail("a whole number from 0");
      trace.hash_ids().push_back(hash.get<uint64_t>());
    }
  }
  const auto seconds = static_cast<int64_t>(ms / 1000);
  trace.Add({seconds, std::llround((ms - static_cast<double>(seconds) * 1000) * 1e9)}, input,
            output, [&](const std::string& expected) { timestamp.Fail(expected); });
}

RequestTrace Read(std::string_view text, const std::string& file) {
  TraceBuilder trace(file);
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") != line.npos)
      WithPart(line, file, number, 1, [&](const JsonCursor& at) { ReadLine(at, trace); });
  }
  return trace.Finish(true, kMooncakeBlock);
}

std::string Write(const RequestTrace& trace) {
  std::string text;
  for (const Request& r : trace.requests) {
    text += "{\"timestamp\": " + std::to_string((r.arrival.ps + 500'000'000) / 1'000'000'000) +
            ", \"input_length\": " + std::to_string(r.input_tokens) +
            ", \"output_length\": " + std::to_string(r.output_tokens);
    if (r.blocks > 0) {
      text += ", \"hash_ids\": [";
      for (const uint64_t hash : trace.BlocksOf(r)) text += std::to_string(hash) + ", ";
      text.replace(text.size() - 2, 2, "]");
    }
    text += "}\n";
  }
  return text;
}

}  // namespace

const RequestFormat kMooncakeFormat{.name = "mooncake",
                                    .help =
                                        "a JSON object a line with timestamp, input_length, "
                                        "output_length and hash_ids",
                                    .has_arrivals = true,
                                    .has_prefixes = true,
                                    .resolution = Time{1'000'000'000},
                                    .looks_like = LooksLike,
                                    .read = Read,
                                    .write = Write};

}  // namespace moecast
