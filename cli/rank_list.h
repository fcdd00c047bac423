// Ranks as users write them: "0-7,16,24-31".
#pragma once

#include <string>
#include <vector>

namespace moecast {

// Ascending. Throws UserError naming `option`: not such a list, a rank twice, one not below
// `ranks`.
std::vector<int> ParseRanks(const std::string& text, int ranks, const std::string& option);

}  // namespace moecast
