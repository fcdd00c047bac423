// Mixes the members of a value into its hash, for keys of unordered containers: the same for equal
// values of one build, no promise beyond it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>

namespace moecast {

// The constant and the shifts are boost::hash_combine's. Members are whole numbers, enums, bool,
// double or std::string.
class Mixer {
 public:
  template <class... Members>
  size_t operator()(const Members&... members) {
    (Add(members), ...);
    return static_cast<size_t>(state_);
  }

 private:
  template <class T>
  void Add(const T& member) {
    uint64_t bits = 0;
    if constexpr (std::is_same_v<T, std::string>)
      bits = std::hash<std::string>()(member);
    else if constexpr (std::is_same_v<T, double>)
      bits = std::bit_cast<uint64_t>(member);
    else
      bits = static_cast<uint64_t>(member);
    state_ ^= bits + 0x9e3779b97f4a7c15ULL + (state_ << 12) + (state_ >> 4);
  }
  uint64_t state_ = 0;
};

}  // namespace moecast
