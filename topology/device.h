// A GPU as the cost model sees it. Datasheet rates; what kernels reach of them is the
// calibration's.
#pragma once

#include <string>

#include "base/dtype.h"
#include "base/fields_fwd.h"
#include "base/units.h"

namespace moecast {

struct Device {
  std::string name;
  int sms = 0;
  FlopsPerSecond bf16_peak;  // dense tensor-core rate
  FlopsPerSecond fp8_peak;
  BytesPerSecond hbm;
  Bytes memory;                      // usable by a process, as the driver reports it
  BytesPerSecond nvlink;             // each direction, datasheet
  BytesPerSecond nvlink_usable;      // each direction, the most a collective reaches
  BytesPerSecond pcie_usable{55e9};  // each direction, copies from and to pinned host memory
  std::string source;

  bool operator==(const Device&) const = default;
};

const Fields<Device>& FieldsOf(const Device*);

}  // namespace moecast
