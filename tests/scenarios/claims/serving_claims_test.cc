#include "scenarios/claims/serving_claims.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moecast {
namespace {

TEST(ServingClaimsTest, ARowIsNamedByItselfOrByWhatIsRun) {
  const std::vector<ServingClaim> claims = LoadServingClaims();
  const ServingClaim& first = claims.front();
  EXPECT_EQ(first.name, "llama-3.1-70b-closed-loop tp=4 value=1024 concurrency=4 requests=40");
  EXPECT_EQ(first.of.text(),
            "llama-3.1-70b-closed-loop serving/parallel/tp=4 load/description/input/value=1024 "
            "load/description/arrivals/concurrency=4 load/description/requests=40");
  EXPECT_TRUE(first.baseline.scenario.empty());
  const auto less = std::find_if(claims.begin(), claims.end(), [](const ServingClaim& c) {
    return !c.baseline.scenario.empty();
  });
  ASSERT_NE(less, claims.end());
  EXPECT_EQ(less->name, "deepseek-v2, percent of cache less than 67B");
  EXPECT_EQ(less->baseline.scenario, "deepseek-67b-serve-h800");
  EXPECT_EQ(less->baseline.sets, std::vector<std::string>{"serving/parallel/tp=1"});
}

// Whatever the table holds has a kind, and what others measured has an aim, times from end to end
// apart.
TEST(ServingClaimsTest, EveryQuantityIsOfAKindAndMeasuredKindsHaveAims) {
  for (const ServingClaim& c : LoadServingClaims()) {
    const std::string_view kind = KindOfQuantity(c.quantity);
    EXPECT_NE(kind, c.quantity) << c.name;
    EXPECT_EQ(AimOf(c.set, kind) > 0, c.set != "paper" && c.set != "large EP" && kind != "latency")
        << c.name << kind;
  }
  EXPECT_EQ(KindOfQuantity("median_itl_ms"), "TPOT");
  EXPECT_EQ(KindOfQuantity("kv/bytes_per_token"), "memory");
  EXPECT_EQ(AimOf("capacity", "memory"), 3);
  EXPECT_EQ(AimOf("field", "throughput"), 15);
}

}  // namespace
}  // namespace moecast
