// The user's fault: thrown where it is found, caught once in main, exit code 2.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace moecast {

// Prints as "file: pointer: found VALUE, expected EXPECTED (did you mean HINT?)"; empty parts are
// left out.
class UserError : public std::runtime_error {
 public:
  struct Parts {
    std::string file;      // or the command-line option
    std::string pointer;   // JSON pointer, or line and column of a text
    std::string value;     // what was found, shortened
    std::string expected;  // what would have been right
    std::string hint;      // the nearest valid name
  };
  explicit UserError(Parts parts);
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
};

// The name in `valid` nearest to `name` by edit distance, or "" when none is near enough to be a
// misspelling.
std::string Nearest(std::string_view name, std::span<const std::string_view> valid);

// "a, b, c".
std::string Join(std::span<const std::string_view> names, std::string_view separator = ", ");

// `text` cut to `limit` characters with "..." and control characters escaped, for messages.
std::string Shortened(std::string_view text, size_t limit = 60);

}  // namespace moecast
