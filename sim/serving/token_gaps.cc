#include "sim/serving/token_gaps.h"

#include <algorithm>
#include <bit>

namespace moecast {
namespace {

// 512 buckets to a doubling, told by a length's first bits.
constexpr int kBits = 9;
size_t BucketOf(Time gap) {
  const auto ps = static_cast<uint64_t>(std::max<int64_t>(gap.ps, 1));
  const auto width = static_cast<int>(std::bit_width(ps));
  const uint64_t first = width > kBits ? ps >> (width - 1 - kBits) : ps << (kBits + 1 - width);
  return static_cast<size_t>(width) << kBits | (first & ((uint64_t{1} << kBits) - 1));
}

}  // namespace

void TokenGaps::Add(Time gap, int64_t count) {
  const size_t at = BucketOf(gap);
  if (at >= buckets_.size()) buckets_.resize(at + 1);
  const Seconds sum = gap.seconds() * static_cast<double>(count);
  buckets_[at].count += count;
  buckets_[at].sum += sum;
  count_ += count;
  sum_ += sum;
}

void TokenGaps::Add(const TokenGaps& other) {
  if (other.buckets_.size() > buckets_.size()) buckets_.resize(other.buckets_.size());
  for (size_t i = 0; i < other.buckets_.size(); ++i) {
    buckets_[i].count += other.buckets_[i].count;
    buckets_[i].sum += other.buckets_[i].sum;
  }
  count_ += other.count_;
  sum_ += other.sum_;
}

Seconds TokenGaps::Quantile(double part) const {
  int64_t below = 0;
  for (const Bucket& bucket : buckets_) {
    below += bucket.count;
    if (bucket.count > 0 && static_cast<double>(below) >= part * static_cast<double>(count_))
      return bucket.sum / static_cast<double>(bucket.count);
  }
  return Seconds(0);
}

}  // namespace moecast
