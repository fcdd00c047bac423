#include "viz/claims_view.h"

#include <cmath>

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

// Large counts in thousands, small ones as they are.
std::string Show(double x) {
  return std::fabs(x) >= 1e4 ? Printf("%.1f K", x / 1e3) : ShowNumber(x, 4);
}

}  // namespace

Json ClaimsJson(const std::vector<ClaimResult>& results) {
  Json cases = Json::array();
  for (const ClaimResult& r : results)
    cases.push_back({{"name", r.name},
                     {"quantity", r.quantity},
                     {"relation", r.relation},
                     {"published", r.published},
                     {"predicted", r.predicted.p50},
                     {"p10", r.predicted.p10},
                     {"p90", r.predicted.p90},
                     {"error_percent", r.error_percent()},
                     {"source", r.source},
                     {"used_for_fitting", r.used_for_fitting}});
  return {{"cases", cases}};
}

std::string ClaimsText(const std::vector<ClaimResult>& results) {
  Rows rows = {{"case", "quantity", "published", "predicted", "p10", "p90", "error", "source"}};
  for (const ClaimResult& r : results)
    rows.push_back({r.name, r.quantity, Show(r.published), Show(r.predicted.p50), Show(r.predicted.p10),
                    Show(r.predicted.p90), Printf("%+.1f%%", r.error_percent()),
                    r.source + (r.used_for_fitting ? " (used for fitting)" : "")});
  return Aligned(rows, "llrrrrrl");
}

}  // namespace moecast
