#include "viz/claims_view.h"

#include <algorithm>
#include <cmath>

#include "base/quantity_text.h"
#include "viz/table.h"

namespace moecast {
namespace {

// Large counts in thousands, small ones as they are.
std::string Show(double x) {
  return std::fabs(x) >= 1e4 ? Printf("%.1f K", x / 1e3) : ShowNumber(x, 4);
}

struct Basis {
  std::string name, kind;
  double aim = 0, error = 0;
  int cases = 0, within = 0;  // p10 to p90
  bool fitted = false, intervals = false;
};

}  // namespace

Json ClaimsJson(const std::vector<ClaimResult>& results) {
  Json cases = Json::array();
  for (const ClaimResult& r : results)
    cases.push_back({{"name", r.name},
                     {"quantity", r.quantity},
                     {"kind", r.summed_as()},
                     {"basis", r.basis},
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
  Rows rows = {
      {"case", "quantity", "basis", "published", "predicted", "p10", "p90", "error", "source"}};
  // Mean errors of what was predicted on each of several bases, in the order of their first cases.
  std::vector<Basis> bases;
  for (const ClaimResult& r : results) {
    rows.push_back({r.name, r.quantity, r.basis + (r.used_for_fitting ? "*" : ""),
                    Show(r.published), Show(r.predicted.p50), Show(r.predicted.p10),
                    Show(r.predicted.p90), Printf("%+.1f%%", r.error_percent()), r.source});
    const auto same = [&r](const Basis& b) { return b.name == r.basis && b.kind == r.summed_as(); };
    auto basis = std::find_if(bases.begin(), bases.end(), same);
    if (basis == bases.end())
      basis = bases.insert(bases.end(), {r.basis, r.summed_as(), r.aim_percent});
    basis->error += std::fabs(r.error_percent());
    ++basis->cases;
    basis->intervals |= r.predicted.p10 < r.predicted.p90;
    basis->within += r.predicted.p10 <= r.published && r.published <= r.predicted.p90;
    basis->fitted = basis->fitted || r.used_for_fitting;
  }
  const bool several =
      std::any_of(bases.begin(), bases.end(), [](const Basis& b) { return !b.name.empty(); });
  if (!several)
    for (std::vector<std::string>& row : rows) row.erase(row.begin() + 2);
  std::string text = Aligned(rows, several ? "lllrrrrrl" : "llrrrrrl");
  bool starred = false;
  for (const Basis& b : bases) {
    starred = starred || b.fitted;
    if (b.cases > 2)
      text += Printf("  mean absolute error of %s%s: %.1f%%", b.kind.c_str(),
                     b.name.empty() ? "" : (", " + b.name).c_str(), b.error / b.cases) +
              (b.aim > 0 ? Printf(", at most %g%% aimed at", b.aim) : "") +
              (b.intervals ? Printf("; %d of %d within p10 to p90", b.within, b.cases) : "") + "\n";
  }
  if (starred) text += "  * used for fitting\n";
  return text;
}

}  // namespace moecast
