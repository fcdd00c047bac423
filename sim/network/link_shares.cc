#include "sim/network/link_shares.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/check.h"

namespace moecast {

void MergeShares(std::vector<LinkShare>& shares) {
  std::sort(shares.begin(), shares.end(), [](const LinkShare& a, const LinkShare& b) {
    return std::tie(a.link, a.share) < std::tie(b.link, b.share);
  });
  size_t kept = 0;
  for (const LinkShare& s : shares) {
    if (kept > 0 && shares[kept - 1].link == s.link)
      shares[kept - 1].share += s.share;
    else
      shares[kept++] = s;
  }
  shares.resize(kept);
}

void CanonicalShares(std::span<const LinkShare> shares, size_t links, std::vector<LinkShare>& out) {
  for (const LinkShare& s : shares)
    MOECAST_CHECK(s.link >= 0 && static_cast<size_t>(s.link) < links && s.share > 0 &&
                  s.share <= 1e6);
  out.assign(shares.begin(), shares.end());
  MergeShares(out);
}

Time CompletionTime(Time from, double bytes, double rate) {
  const double ps = std::max(0.0, bytes) / rate * 1e12;
  // Not a number where nothing is left at rate zero: done.
  if (std::isnan(ps)) return from;
  if (ps >= static_cast<double>(kNever.ps - from.ps)) return kNever;
  return from + Time{std::llround(ps)};
}

}  // namespace moecast
