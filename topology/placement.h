// Which GPU each rank of a parallel plan runs on. The world is the product of five axes; `order`
// lists them from the one whose neighbours sit next to each other (innermost) to the outermost.
// Data parallelism is cut in two axes: ep, the ranks that share one set of experts, and edp, the
// replicas of such a set; dp = ep * edp (times cp for expert groups is not modelled: experts of
// context-parallel ranks are replicated). Experts that tp does not cut are shared by the ranks of
// both tp and ep.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/enum_names.h"

namespace moecast {

enum class Axis : uint8_t { kTp, kCp, kEp, kEdp, kPp };
template <>
struct EnumNames<Axis> {
  static constexpr EnumName<Axis> kNames[] = {{Axis::kTp, "tp"},
                                              {Axis::kCp, "cp"},
                                              {Axis::kEp, "ep"},
                                              {Axis::kEdp, "dp"},
                                              {Axis::kPp, "pp"}};
};
inline constexpr int kAxes = 5;

struct RankCoordinates {
  std::array<int, kAxes> at{};  // by Axis
  int& operator[](Axis a) { return at[static_cast<size_t>(a)]; }
  int operator[](Axis a) const { return at[static_cast<size_t>(a)]; }
};

class Placement {
 public:
  // `sizes` by Axis, each at least 1. REQUIRES: order is a permutation of the five axes.
  Placement(std::array<int, kAxes> sizes, std::array<Axis, kAxes> order,
            bool whole_experts = false);

  int world() const { return world_; }  // ranks in all
  int Size(Axis a) const { return sizes_[static_cast<size_t>(a)]; }
  // Those that a group of ranks which share a set of experts varies.
  std::vector<Axis> ExpertAxes() const {
    return whole_experts_ ? std::vector{Axis::kTp, Axis::kEp} : std::vector{Axis::kEp};
  }
  // GPUs are numbered as ranks are, 0 to world() - 1. REQUIRES: 0 <= c[axis] < Size(axis).
  int GpuOf(const RankCoordinates& c) const;
  // The other way. REQUIRES: 0 <= gpu < world().
  RankCoordinates CoordinatesOf(int gpu) const;

  // GPUs of the group that varies `axes` and shares the other coordinates of `member`, ascending.
  std::vector<int> Group(const RankCoordinates& member, std::span<const Axis> axes) const;
  std::vector<int> Group(const RankCoordinates& member, std::initializer_list<Axis> axes) const {
    return Group(member, std::span(axes.begin(), axes.size()));
  }

 private:
  std::array<int, kAxes> sizes_, stride_;
  std::array<Axis, kAxes> order_;
  bool whole_experts_;
  int world_ = 1;
};

}  // namespace moecast
