// Costs of kernels, each distinct one estimated once: plans of one model share most of their
// shapes.
#pragma once

#include <unordered_map>

#include "costmodel/calibration/calibration.h"
#include "costmodel/op.h"

namespace moecast {

class KernelCosts {
 public:
  // `calibration` outlives this.
  explicit KernelCosts(const Calibration& calibration) : calibration_(calibration) {}

  const Calibration& calibration() const { return calibration_; }
  // REQUIRES: the query is no collective.
  const Cost& Of(const OpQuery& query);

 private:
  struct Hash {
    size_t operator()(const OpQuery& query) const;
  };
  const Calibration& calibration_;
  std::unordered_map<OpQuery, Cost, Hash> known_;
};

}  // namespace moecast
