// Text for people: formatted numbers and aligned columns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moecast {

[[gnu::format(printf, 1, 2)]] std::string Printf(const char* format, ...);

using Rows = std::vector<std::vector<std::string>>;

// Columns flush left ('l') or right ('r') as `sides` says; those after its end are flush right.
std::string Aligned(const Rows& rows, std::string_view sides);

// "172,800".
std::string Thousands(int64_t n);

}  // namespace moecast
