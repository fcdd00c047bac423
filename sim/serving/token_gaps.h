// Gaps between the tokens of sequences, counted: a long load has billions of them.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time.h"

namespace moecast {

// Gaps of one length within 0.2% are one bucket, of which the mean is known.
class TokenGaps {
 public:
  void Add(Time gap, int64_t count);
  void Add(const TokenGaps& other);

  int64_t count() const { return count_; }
  Seconds sum() const { return sum_; }
  // The mean of the least bucket that, with those below, has this part of them. Zero where there
  // are none.
  Seconds Quantile(double part) const;

 private:
  struct Bucket {
    int64_t count = 0;
    Seconds sum;
  };
  std::vector<Bucket> buckets_;  // by length
  int64_t count_ = 0;
  Seconds sum_;
};

}  // namespace moecast
