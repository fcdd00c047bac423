// Tokens dropped at a capacity, device by device (DeepSeek-V2, arXiv 2405.04434, section 2.2.4): a
// device computes at most capacity_factor times the mean of what the devices were sent; of what is
// above it goes what has the lowest affinity. What is sent and dropped are a token's visits to
// experts (a token with two experts on a device is two). Tokens of protected sequences stay, also
// above the capacity.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "costmodel/gating/gate.h"

namespace moecast {

// Whether a sequence is never dropped: of any n in a row that fraction, to within one.
bool IsProtected(int64_t sequence, double fraction);

// Visits to drop, by place in choices.expert. The experts lie on `devices` devices in order;
// `protected_token` has an entry a token. Of equal affinities the later visit is dropped. REQUIRES:
// devices divides experts.
std::vector<bool> VisitsToDrop(const Choices& choices, int experts, int devices,
                               double capacity_factor, const std::vector<bool>& protected_token);

// What is left. A token that loses all its experts stays as one with none.
Choices Without(const Choices& choices, const std::vector<bool>& dropped);

}  // namespace moecast
