// Files whole: read with a size limit, written aside and renamed, so that a reader never sees a
// part of one. Called from scenarios/, executor/ and cli/ only.
#pragma once

#include <string>
#include <string_view>

namespace moecast {

// Throws UserError: missing, a directory, unreadable, larger than `limit` bytes.
std::string ReadFile(const std::string& path, size_t limit = size_t{256} << 20);

// Throws UserError where the folder does not exist or the disk is full; then nothing is left behind
// and an older file of that name is untouched. "-" is standard output.
void WriteFile(const std::string& path, std::string_view text);

}  // namespace moecast
