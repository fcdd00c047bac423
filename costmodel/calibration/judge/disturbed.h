// Measurements that are not of the kernel: found before a table is used, made missing and counted.
#pragma once

#include <cstddef>

#include "costmodel/calibration/table_kinds.h"

namespace moecast {

// Over the model more than twice both their neighbours along the curve, and slower than the next
// larger size. Returns how many there were.
size_t DropSpikes(const TableKind& kind, CurveTable& table, const Machine& machine);

// Fused MoE layers choose their kernels by timing them beforehand; where that failed, a whole curve
// takes up to three times as long as more work, whatever the number of tokens. A point is dropped
// where another of its family with as many tokens, intermediate columns and experts on the rank, or
// more, took less than two thirds of its time: more work took less time. REQUIRES: kind.by_family.
// Returns how many there were.
size_t DropUntuned(const TableKind& kind, CurveTable& table);

}  // namespace moecast
