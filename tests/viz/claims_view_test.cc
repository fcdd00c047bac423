#include "viz/claims_view.h"

#include <gtest/gtest.h>

namespace moecast {
namespace {

// Off by 10, 20 and 30 per cent in the mean of 20, the first two between their p10 and p90.
TEST(ClaimsTextTest, SumsErrorsByWhatTheyAreOf) {
  std::vector<ClaimResult> results;
  for (const double published : {100.0, 80.0, 110.0}) {
    ClaimResult r{.name = "case", .quantity = "speed", .relation = "=", .basis = "field"};
    r.aim_percent = 15;
    r.published = published;
    r.predicted = {.p10 = 75,
                   .p50 = published == 80    ? 64
                          : published == 100 ? 110.0
                                             : 143,
                   .p90 = 105};
    results.push_back(r);
  }
  EXPECT_NE(
      ClaimsText(results).find("mean absolute error of speed, field: 20.0%, at most 15% aimed "
                               "at; 2 of 3 within p10 to p90\n"),
      std::string::npos)
      << ClaimsText(results);
  // What is exact has no interval to be in.
  for (ClaimResult& r : results) r.predicted.p10 = r.predicted.p90 = r.predicted.p50;
  EXPECT_NE(ClaimsText(results).find("field: 20.0%, at most 15% aimed at\n"), std::string::npos);
}

}  // namespace
}  // namespace moecast
