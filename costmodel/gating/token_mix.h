// What the tokens that a gate sees are like, as a scenario describes them. sim/routing/tokens.h
// draws them.
#pragma once

#include <cstdint>

#include "base/enum_names.h"
#include "base/fields_fwd.h"

namespace moecast {

enum class TokenDistribution : uint8_t {
  kUniform,   // every expert equally likely
  kZipf,      // the r-th most popular expert in proportion to r^-exponent, whatever the token
  kClusters,  // tokens come in clusters, each with its own popularity of the experts
};
template <>
struct EnumNames<TokenDistribution> {
  static constexpr EnumName<TokenDistribution> kNames[] = {
      {TokenDistribution::kUniform, "uniform"},
      {TokenDistribution::kZipf, "zipf"},
      {TokenDistribution::kClusters, "clusters"}};
};

struct TokenMix {
  TokenDistribution distribution = TokenDistribution::kUniform;
  double zipf_exponent = 0.5;
  int clusters = 32;
  double concentration = 1;
  double dwell = 64;
  double layer_correlation = 0.5;

  bool operator==(const TokenMix&) const = default;
};
const Fields<TokenMix>& FieldsOf(const TokenMix*);

}  // namespace moecast
