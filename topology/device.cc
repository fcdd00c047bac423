#include "topology/device.h"

#include "base/fields.h"
namespace moecast {

const Fields<Device>& FieldsOf(const Device*) {
  static const Fields<Device> fields(
      "device",
      {
          RequiredRow("name", &Device::name, "name of the device"),
          RequiredRow("sms", &Device::sms, "streaming multiprocessors", {.low = 1, .high = 4096}),
          RequiredRow("bf16_peak", &Device::bf16_peak, "dense bf16 tensor-core rate",
                      {.low = 1e9, .high = 1e18}),
          RequiredRow("fp8_peak", &Device::fp8_peak, "dense fp8 tensor-core rate",
                      {.low = 1e9, .high = 1e18}),
          RequiredRow("hbm", &Device::hbm, "memory bandwidth", {.low = 1e6, .high = 1e15}),
          RequiredRow("memory", &Device::memory, "memory a process can use",
                      {.low = 1e6, .high = 1e15}),
          RequiredRow("nvlink", &Device::nvlink, "NVLink, each direction, datasheet",
                      {.low = 1e6, .high = 1e15}),
          RequiredRow("nvlink_usable", &Device::nvlink_usable,
                      "NVLink, each direction, the most a collective reaches",
                      {.low = 1e6, .high = 1e15}),
          Row("pcie_usable", &Device::pcie_usable,
              "PCIe, each direction, what copies from and to pinned host memory reach",
              {.low = 1e6, .high = 1e15}),
          RequiredRow("source", &Device::source, "where the figures come from"),
      });
  return fields;
}

}  // namespace moecast
