// What the networks have in common: one order of a flow's links, and the time a rate takes.
#pragma once

#include <span>
#include <vector>

#include "sim/network/network.h"

namespace moecast {

// By link, each once with its shares summed in ascending order, so that the order and the splitting of what
// was given change nothing. REQUIRES: 0 <= link < links; 0 < share <= 1e6.
std::vector<LinkShare> CanonicalShares(std::span<const LinkShare> shares, size_t links);

// `from` and bytes / rate, to the nearest picosecond; kNever at rate zero or beyond the reach of Time.
Time CompletionTime(Time from, double bytes, double rate);

}  // namespace moecast
