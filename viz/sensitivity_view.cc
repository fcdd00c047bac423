#include "viz/sensitivity_view.h"

#include "viz/table.h"

namespace moecast {

Json SensitivityJson(const std::vector<Sensitivity>& rows) {
  Json out = Json::array();
  for (const Sensitivity& r : rows)
    out.push_back(
        {{"quantity", r.quantity}, {"change_percent", r.change_percent}, {"source", r.source}});
  return out;
}

std::string SensitivityText(const std::vector<Sensitivity>& rows, double gpu_hours) {
  Rows table = {{"one quantity moved by a tenth", "GPU-hours", "become", "source"}};
  for (const Sensitivity& r : rows)
    table.push_back({r.quantity, Printf("%+.2f%%", r.change_percent),
                     Printf("%.1f K", gpu_hours * (1 + r.change_percent / 100) / 1e3), r.source});
  return "\n" + Aligned(table, "lrrl");
}

}  // namespace moecast
