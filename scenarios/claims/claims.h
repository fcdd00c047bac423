// Published figures that predictions are compared with, from scenarios/data/claims.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/fields_fwd.h"

namespace moecast {

struct Claim {
  std::string name;
  std::string scenario;  // built-in name
  std::string baseline;  // scenario a ratio refers to, or ""
  std::string quantity;
  std::string relation = "=";
  double published = 0;
  std::string source;
  bool used_for_fitting = false;
};
const Fields<Claim>& FieldsOf(const Claim*);

// Claims of one built-in file: "training".
std::vector<Claim> LoadClaims(std::string_view suite);

}  // namespace moecast
