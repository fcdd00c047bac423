#include "costmodel/calibration/judge/disturbed.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/known.h"

namespace moecast {
namespace {

constexpr Known kSpike = {
    2,
    "any bound from 1.62 to 2.02 drops the same 19 of the 28,215 imported points: of those slower "
    "than more work, the rest exceed their neighbours by 1.61 times at most, 13 of the 19 by more "
    "than 4"};
constexpr Known kSlower = {1.5,
                           "reasoned, between what tuned layers do (moe_fp8_block: 1.2 times more "
                           "work's time at most, 2 of 2430 points over 1.1) and untuned ones (up "
                           "to 3, with no gap below): of 1458 bf16 points 1.4, 1.5 and 1.6 drop "
                           "191, 154 and 123 and leave 7.8, 8.8 and 9.7% of left-out error"};

}  // namespace

size_t DropSpikes(const TableKind& kind, CurveTable& table, const Machine& machine) {
  size_t dropped = 0;
  std::vector<double> key(kind.keys.size());
  for (size_t r = 0; r < table.rows.size(); ++r) {
    for (size_t i = 0; i < key.size(); ++i) key[i] = table.KeyNumber(r, i);
    std::vector<size_t> place;
    std::vector<double> ratio;
    for (size_t i = 0; i < table.axis_values.size(); ++i) {
      if (std::isnan(table.At(r, i))) continue;
      place.push_back(i);
      ratio.push_back(table.At(r, i) /
                      kind.baseline(key, table.axis_values[i], table.heads, machine));
    }
    for (size_t i = 0; i < ratio.size() && ratio.size() >= 3; ++i) {
      const double before = ratio[i > 0 ? i - 1 : 2],
                   after = ratio[i + 1 < ratio.size() ? i + 1 : i - 2];
      if (ratio[i] <= kSpike.value * std::max(before, after)) continue;
      // Less work took longer, so it was not the model that missed a step of the kernel.
      if (i + 1 < ratio.size() && table.At(r, place[i]) <= table.At(r, place[i + 1])) continue;
      table.At(r, place[i]) = CurveTable::kMissing;
      ++dropped;
    }
  }
  return dropped;
}

size_t DropUntuned(const TableKind& kind, CurveTable& table) {
  MOECAST_CHECK(kind.by_family);
  constexpr size_t kHidden = 0, kInter = 1, kExperts = 2, kTopK = 3, kEp = 4;  // columns of the key
  std::vector<std::vector<double>> keys(table.rows.size());
  for (size_t r = 0; r < keys.size(); ++r)
    for (size_t i = 0; i < kind.keys.size(); ++i) keys[r].push_back(table.KeyNumber(r, i));
  std::vector<size_t> dropped;
  for (size_t r = 0; r < keys.size(); ++r)
    for (size_t i = 0; i < table.axis_values.size(); ++i) {
      if (std::isnan(table.At(r, i))) continue;
      const auto more_took_less = [&](size_t other) {
        const std::vector<double>&a = keys[r], &b = keys[other];
        if (a[kHidden] != b[kHidden] || a[kExperts] != b[kExperts] || a[kTopK] != b[kTopK] ||
            b[kInter] < a[kInter] || b[kEp] > a[kEp])
          return false;
        for (size_t j = i; j < table.axis_values.size(); ++j)
          if (table.At(other, j) * kSlower.value < table.At(r, i))
            return true;  // false where missing
        return false;
      };
      for (size_t other = 0; other < keys.size(); ++other)
        if (more_took_less(other)) {
          dropped.push_back(r * table.axis_values.size() + i);
          break;
        }
    }
  for (const size_t at : dropped) table.values[at] = CurveTable::kMissing;
  return dropped.size();
}

}  // namespace moecast
