#include "topology/placement.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {

Placement::Placement(std::array<int, kAxes> sizes, std::array<Axis, kAxes> order,
                     bool whole_experts)
    : sizes_(sizes), order_(order), whole_experts_(whole_experts) {
  stride_.fill(0);
  for (const Axis a : order_) {
    const size_t i = static_cast<size_t>(a);
    MOECAST_CHECK(stride_[i] == 0 && sizes_[i] >= 1);
    stride_[i] = world_;
    world_ *= sizes_[i];
  }
}

int Placement::GpuOf(const RankCoordinates& c) const {
  int gpu = 0;
  for (size_t i = 0; i < kAxes; ++i) gpu += c.at[i] * stride_[i];
  return gpu;
}

RankCoordinates Placement::CoordinatesOf(int gpu) const {
  RankCoordinates c;
  for (const Axis a : order_) {
    c[a] = gpu % Size(a);
    gpu /= Size(a);
  }
  return c;
}

std::vector<int> Placement::Group(const RankCoordinates& member, std::span<const Axis> axes) const {
  RankCoordinates base = member;
  for (const Axis a : axes) base[a] = 0;
  std::vector<int> gpus{GpuOf(base)};
  for (const Axis a : axes) {
    const size_t before = gpus.size();
    for (int i = 1; i < Size(a); ++i)
      for (size_t j = 0; j < before; ++j)
        gpus.push_back(gpus[j] + i * stride_[static_cast<size_t>(a)]);
  }
  std::sort(gpus.begin(), gpus.end());
  return gpus;
}

}  // namespace moecast
