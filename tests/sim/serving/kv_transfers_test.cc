#include "sim/serving/kv_transfers.h"

#include <gtest/gtest.h>

#include "costmodel/collectives/collectives.h"
#include "tests/sim/serving/serving_setup.h"

namespace moecast {
namespace {

// When each transfer of `moves` ends, all started at once; {from rank, to rank, tokens}.
std::vector<Time> EndsOf(const ServingRun& run, const std::vector<std::array<int, 3>>& moves) {
  KvTransfers transfers(run);
  for (size_t i = 0; i < moves.size(); ++i)
    transfers.Start(Time{}, moves[i][0], moves[i][1], moves[i][2], static_cast<int64_t>(i));
  std::vector<Time> ends(moves.size());
  for (Time now = transfers.Next(); now != kNever; now = transfers.Next()) {
    std::vector<int64_t> arrived;
    transfers.Advance(now, arrived);
    for (const int64_t tag : arrived) ends[static_cast<size_t>(tag)] = now;
  }
  return ends;
}

Time Alone(const ServingRun& run, const std::vector<int>& from, const std::vector<int>& to,
           double bytes) {
  return Time::From(TimeAlone(Send(from, to, Bytes(bytes), Routes(run.cluster)), run.cluster));
}

// 8 GPUs prefill, 8 decode, each a rank: a latent of 27 layers of 576 elements of 16 bits a token.
// From two GPUs two caches go side by side; from one they share its NIC, and the bytes of both take
// as long as they would together.
TEST(KvTransfersTest, CachesFromOneGpuShareItsNic) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 8, .ep = 8});
  run.deployment.prefill = {.parallel = {.tp = 1, .dp = 8, .ep = 8}};
  constexpr double kToken = 27 * 576 * 2;
  const Time one = Alone(run, {0}, {8}, 1000 * kToken);
  const std::vector<Time> apart = EndsOf(run, {{0, 0, 1000}, {1, 1, 1000}});
  EXPECT_NEAR(static_cast<double>(apart[0].ps) / static_cast<double>(one.ps), 1, 1e-6);
  EXPECT_EQ(apart[1], apart[0]);
  const std::vector<Time> shared = EndsOf(run, {{0, 0, 1000}, {0, 1, 1000}});
  const Time both = Alone(run, {0}, {8}, 2000 * kToken);
  EXPECT_NEAR(static_cast<double>(shared[0].ps) / static_cast<double>(both.ps), 1, 1e-6);
  EXPECT_EQ(shared[1], shared[0]);
}

// Two caches from one GPU, of which one is cancelled: before its latency has passed the other goes
// as if alone, and each time that both share the NIC costs it half as much. Nothing is left.
TEST(KvTransfersTest, ACancelledCacheLeavesTheLinksToTheOthers) {
  ServingRun run = ServingRunOf("deepseek-v2-lite", "h800-64", {.tp = 1, .dp = 8, .ep = 8});
  run.deployment.prefill = {.parallel = {.tp = 1, .dp = 8, .ep = 8}};
  const Time alone = EndsOf(run, {{0, 0, 1000}})[0];
  const auto end_if_cancelled = [&](Time at) {
    KvTransfers transfers(run);
    transfers.Start(Time{}, 0, 0, 1000, 5);
    transfers.Start(Time{}, 0, 1, 1000, 6);
    std::vector<int64_t> arrived;
    while (transfers.Next() < at) transfers.Advance(transfers.Next(), arrived);
    transfers.Cancel(at, 6);
    Time end{};
    for (Time now = transfers.Next(); now != kNever; now = transfers.Next()) {
      transfers.Advance(now, arrived);
      end = now;
    }
    EXPECT_EQ(arrived, std::vector<int64_t>{5});
    return end;
  };
  EXPECT_EQ(end_if_cancelled(Time{}), alone);
  const Time early = Time{alone.ps / 2}, late = Time{alone.ps * 3 / 4};
  const Time cost = end_if_cancelled(late) - end_if_cancelled(early);
  EXPECT_NEAR(static_cast<double>(cost.ps), static_cast<double>((late - early).ps) / 2, 10);
}

// Heads of keys and values: 80 layers of 8 heads of 2 x 128 elements of 16 bits a token, over 4
// GPUs that prefill to 2 that decode. Each of the 4 sends a quarter, two to each receiver, whose
// NIC is then the slower end.
TEST(KvTransfersTest, EveryGpuOfTheReceiverGetsItsShareFromItsSenders) {
  ServingRun run = ServingRunOf("llama-3.1-70b", "h100-2048", {.tp = 2});
  run.deployment.prefill = {.parallel = {.tp = 4}, .replicas = 2};
  const double bytes = 1000.0 * 80 * 8 * 2 * 128 * 2;
  const Time ends = EndsOf(run, {{1, 3, 1000}})[0];
  // Replicas of 2 behind 8 GPUs: the fourth is on 14 and 15.
  const Time expected = Alone(run, {4, 5, 6, 7}, {14, 14, 15, 15}, bytes / 4);
  EXPECT_NEAR(static_cast<double>(ends.ps) / static_cast<double>(expected.ps), 1, 1e-6);
}

}  // namespace
}  // namespace moecast
