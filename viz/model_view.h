// What `moecast model` prints: size and cost of a model, as JSON and as a table for a person.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "costmodel/model.h"

namespace moecast {

struct ModelViewOptions {
  int64_t sequence = 4096;  // tokens of a sequence, for the flops of attention
  double kv_bits = 16;      // of one cached element
};

Json ModelJson(const Model& model, const ModelViewOptions& options);
std::string ModelText(const Model& model, const ModelViewOptions& options);

}  // namespace moecast
