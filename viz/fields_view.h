// The Fields table for people: docs/scenarios.md is made from it.
#pragma once

#include <string>
#include <vector>

#include "base/fields.h"

namespace moecast {

Json FieldsJson(const std::vector<FieldDoc>& docs);
// A page: a heading, what stands before the table, and the fields.
std::string FieldsMarkdown(const std::string& heading, const std::string& text,
                           const std::vector<FieldDoc>& docs);

}  // namespace moecast
