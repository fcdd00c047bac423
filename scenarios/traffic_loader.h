// Traffic by name: a built-in description (scenarios/data/traffic), a file of one, or a recorded
// trace.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "traces/traffic.h"

namespace moecast {

// `sets` are the arguments of --set. Throws UserError for anything wrong, values that go not
// together included.
TrafficSpec TrafficFromText(std::string_view text, const std::string& file,
                            std::span<const std::string> sets = {});

// Draws it, the trace that lengths_of names read. REQUIRES: !CheckTraffic(spec).
RequestTrace DrawTraffic(const TrafficSpec& spec, uint64_t seed);

// What a built-in name or a description draws, or what a trace holds: which of both a file is its
// content shows. Throws UserError for --set with a trace, too, and, before anything is drawn, where
// `to`, the format that it is for, cannot hold it.
RequestTrace LoadTraffic(const std::string& name_or_path, uint64_t seed,
                         std::span<const std::string> sets = {}, const RequestFormat* to = nullptr);

}  // namespace moecast
