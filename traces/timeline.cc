#include "traces/timeline.h"

#include <algorithm>
#include <tuple>

namespace moecast {

int32_t NameTable::IndexOf(std::string_view name) {
  const auto [at, is_new] =
      index_.try_emplace(std::string(name), static_cast<int32_t>(names_.size()));
  if (is_new) names_.emplace_back(name);
  return at->second;
}

std::vector<std::vector<int32_t>> SpansByTrack(const Timeline& timeline) {
  std::vector<std::vector<int32_t>> tracks(timeline.tracks.size());
  for (size_t i = 0; i < timeline.spans.size(); ++i)
    tracks[static_cast<size_t>(timeline.spans[i].track)].push_back(static_cast<int32_t>(i));
  const auto key = [&](int32_t i) {
    const Timeline::Span& span = timeline.spans[static_cast<size_t>(i)];
    return std::tuple(span.start, Time{} - span.end, i);
  };
  for (std::vector<int32_t>& spans : tracks)
    std::sort(spans.begin(), spans.end(), [&](int32_t a, int32_t b) { return key(a) < key(b); });
  return tracks;
}

}  // namespace moecast
