#include "topology/transport.h"

#include "base/check.h"
#include "base/known.h"

namespace moecast {
namespace {

constexpr Known kLineBytes{2, "NCCL, protocol LL: lines of 8 bytes carry 4 of data"};
constexpr Known kMulticastShare{0.85, "NCCL, src/graph/tuning.cc: nvlsEfficiency of Hopper"};
constexpr Known kMulticastMicroseconds{
    25, "NCCL, src/graph/tuning.cc: latency of NVLS over NVLink, steps included"};
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
    case Transport::kPointToPoint:
      cost.launch = c.collective_launch;
      cost.pieces = Bytes(kPieceBytes.value) / c.send_piece;
      return cost;
    case Transport::kLowLatency:
    case Transport::kTokens:
      if (transport == Transport::kLowLatency) cost.launch = c.low_latency_launch;
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
