#include "traces/requests.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "traces/request_formats/format.h"

namespace moecast {

std::span<const RequestFormat* const> RequestFormats() {
  static constexpr const RequestFormat* kFormats[] = {
      &kAzureFormat, &kBurstGptFormat, &kMooncakeFormat, &kShareGptFormat, &kVidurFormat};
  return kFormats;
}

const RequestFormat* FormatOf(std::string_view text) {
  for (const RequestFormat* format : RequestFormats())
    if (format->looks_like(text)) return format;
  return nullptr;
}

const RequestFormat& FormatNamed(const std::string& name) {
  std::vector<std::string_view> names;
  for (const RequestFormat* format : RequestFormats()) {
    if (format->name == name) return *format;
    names.push_back(format->name);
  }
  throw UserError({.file = "format",
                   .value = "\"" + Shortened(name) + "\"",
                   .expected = "one of " + Join(names),
                   .hint = Nearest(name, names)});
}

RequestTrace ReadRequests(std::string_view text, const std::string& file) {
  const RequestFormat* format = FormatOf(text);
  if (!format) {
    std::string expected = "a trace of requests:";
    for (const RequestFormat* f : RequestFormats())
      expected += (f == RequestFormats()[0] ? " " : "; ") + std::string(f->name) + ", " +
                  std::string(f->help);
    throw UserError({.file = file,
                     .pointer = "line 1, column 1",
                     .value = "\"" + Shortened(text.substr(0, text.find_first_of("\r\n"))) + "\"",
                     .expected = expected});
  }
  return format->read(text, file);
}

void CheckBlocks(const RequestFormat& format, int64_t block_tokens, const std::string& file) {
  if (!format.has_prefixes || block_tokens == 0 || block_tokens == kMooncakeBlock) return;
  throw UserError({.file = file,
                   .value = "hashes of " + std::to_string(block_tokens) + " tokens",
                   .expected = std::to_string(kMooncakeBlock) + ", as the format " +
                               std::string(format.name) + " has it"});
}

std::string WriteRequests(const RequestTrace& trace, const RequestFormat& format) {
  CheckBlocks(format, trace.hash_ids.empty() ? 0 : trace.block_tokens, trace.file);
  return format.write(trace);
}

RequestTrace Sliced(const RequestTrace& trace, const Slice& slice) {
  RequestTrace out{.file = trace.file,
                   .block_tokens = trace.block_tokens,
                   .timed = trace.timed,
                   .left_out = trace.left_out,
                   .concurrency = trace.concurrency};
  for (const Request& r : trace.requests) {
    if (static_cast<int64_t>(out.requests.size()) >= slice.limit) break;
    if (r.arrival < slice.start || r.arrival - slice.start >= slice.duration) continue;
    Request& kept = out.requests.emplace_back(r);
    kept.arrival = r.arrival - slice.start;
    kept.first_block = static_cast<uint32_t>(out.hash_ids.size());
    const auto blocks = trace.BlocksOf(r);
    out.hash_ids.insert(out.hash_ids.end(), blocks.begin(), blocks.end());
  }
  return out;
}

RequestTrace SpedUp(RequestTrace trace, double factor) {
  MOECAST_CHECK(factor > 0);
  for (Request& r : trace.requests) {
    const double ps = static_cast<double>(r.arrival.ps) / factor;
    if (!(ps <= kLastArrivalSeconds * 1e12))
      throw UserError({.file = trace.file,
                       .value = "a last request after " + std::to_string(ps * 1e-12) + " s",
                       .expected = "at most " + std::to_string(kLastArrivalSeconds) + " s"});
    r.arrival = Time{std::llround(ps)};
  }
  return trace;
}

}  // namespace moecast
