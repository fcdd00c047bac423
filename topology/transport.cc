#include "topology/transport.h"

#include <algorithm>

#include "base/check.h"
#include "base/known.h"

namespace moecast {
namespace {

constexpr Known kLineBytes{2, "NCCL, protocol LL: lines of 8 bytes carry 4 of data"};
constexpr Known kMulticastShare{0.85, "NCCL, src/graph/tuning.cc: nvlsEfficiency of Hopper"};
constexpr Known kMulticastMicroseconds{
    25, "NCCL, src/graph/tuning.cc: latency of NVLS over NVLink, steps included"};
// vLLM 0.24's custom all-reduce in CUDA graphs on 2, 4 and 8 H100 (aiconfigurator, Apache-2.0): 128
// bytes take 4.3 to 4.7 us, and of one-shot (two at any size, four below 512 KiB, eight below 256)
// each byte of a peer 6.6 to 8 ps; two-shot begins at 7.5 to 8.9 us.
constexpr Known kPeerLaunchMicroseconds{0.8, "4.6 us of one-shot less a step"};
constexpr Known kPeerStepMicroseconds{3.8, "two-shot's start less one-shot's"};
constexpr Known kPeerRate{150e9, "one-shot of 128 KiB over 4 and 8 GPUs, beyond its start"};
constexpr Known kPieceBytes{
    131072, "NCCL, P2P_NET_CHUNKSIZE: sends over the network go in pieces of 128 KiB"};
constexpr Known kSmRate{
    14e9,
    "DeepEP's normal dispatch on 2 and 4 nodes of H100 with 4 and 8 SMs (aiconfigurator, "
    "Apache-2.0): NVLink "
    "and network together 12.7 to 14.6 GB/s an SM; combine, which adds, 10.2 to 11.3"};

}  // namespace

TransportCost CostOf(const Cluster& c, Transport transport) {
  TransportCost cost{
      .launch = c.bulk_launch, .nvlink_step = c.nvlink_step, .network_step = c.network_step};
  switch (transport) {
    case Transport::kBulk:
      return cost;
    case Transport::kChunks:
      cost.launch = c.collective_launch;
      return cost;
    case Transport::kLines:
      cost.launch = c.collective_launch;
      cost.nvlink = cost.network = kLineBytes.value;
      return cost;
    case Transport::kMulticast:
      cost.launch = Microseconds(kMulticastMicroseconds.value);
      cost.nvlink = 1 / kMulticastShare.value;
      return cost;
    case Transport::kPeerReads:
      cost.launch = Microseconds(kPeerLaunchMicroseconds.value);
      cost.nvlink_step = Microseconds(kPeerStepMicroseconds.value);
      cost.nvlink = std::max(1.0, c.device.nvlink_usable.value / kPeerRate.value);
      return cost;
    case Transport::kPointToPoint:
      cost.launch = c.collective_launch;
      cost.pieces = Bytes(kPieceBytes.value) / c.send_piece;
      return cost;
    case Transport::kLowLatency:
    case Transport::kTokens:
      cost.launch = transport == Transport::kTokens ? c.token_launch : c.low_latency_launch;
      cost.nvlink = 1 / c.token_nvlink_share;
      cost.network = 1 / c.token_nic_share;
      return cost;
  }
  MOECAST_CHECK(false);
}

BytesPerSecond RateOfSms(int sms) {
  return BytesPerSecond(kSmRate.value * sms);
}

}  // namespace moecast
