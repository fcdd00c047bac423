// What the networks have in common: one order of a flow's links, and the time a rate takes.
#pragma once

#include <span>
#include <vector>

#include "sim/network/network.h"

namespace moecast {

// Puts shares in the order of their links, each once with its shares summed in ascending order, so
// that the order and the splitting of what was given change nothing.
void MergeShares(std::vector<LinkShare>& shares);

// The same of a start, checked. REQUIRES: 0 <= link < links; 0 < share <= 1e6.
void CanonicalShares(std::span<const LinkShare> shares, size_t links, std::vector<LinkShare>& out);

// `from` and bytes / rate, to the nearest picosecond; kNever at rate zero or beyond the reach of
// Time.
Time CompletionTime(Time from, double bytes, double rate);

}  // namespace moecast
