// The Fields table for people: docs/scenarios.md is made from it.
#pragma once

#include <string>
#include <vector>

#include "base/fields.h"

namespace moecast {

Json FieldsJson(const std::vector<FieldDoc>& docs);
std::string FieldsMarkdown(const std::vector<FieldDoc>& docs);

}  // namespace moecast
