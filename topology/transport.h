// What moves a collective's bytes, and what that costs beside the links' rates: the time to start,
// the latency of a step, and how much of a link's usable rate a byte takes.
#pragma once

#include <limits>

#include "base/enum_names.h"
#include "base/units.h"
#include "topology/cluster.h"

namespace moecast {

enum class Transport : uint8_t {
  kBulk,  // NCCL's protocol Simple: large pieces, each announced by a flag
  // Transformer Engine's userbuffers beside the GEMM they belong to (CommOverlapP2PBase of its
  // common/comm_gemm_overlap): a kernel writes a chunk into the next rank's buffer and then a flag,
  // so that it starts as LL does, and chunks are sent whole, so that no slices are waited for.
  kChunks,
  kLines,         // NCCL's protocol LL: every 4 bytes carry a flag of 4, nothing to wait for
  kMulticast,     // NCCL's NVLS: the NVSwitch adds and copies
  kPeerReads,     // inference engines' own all-reduce: kernels read their peers' buffers
  kPointToPoint,  // NCCL's send and receive
  kTokens,        // all-to-all kernels for tokens, DeepEP's normal ones
  kLowLatency,    // the same for few tokens: each goes to its expert's rank at once
};
template <>
struct EnumNames<Transport> {
  static constexpr EnumName<Transport> kNames[] = {{Transport::kBulk, "bulk"},
                                                   {Transport::kChunks, "chunks"},
                                                   {Transport::kLines, "lines"},
                                                   {Transport::kMulticast, "multicast"},
                                                   {Transport::kPeerReads, "peer-reads"},
                                                   {Transport::kPointToPoint, "point-to-point"},
                                                   {Transport::kTokens, "tokens"},
                                                   {Transport::kLowLatency, "low-latency"}};
};

struct TransportCost {
  Seconds launch;        // of a collective over nothing, without its steps
  Seconds nvlink_step;   // each step inside a node
  Seconds network_step;  // each step between nodes
  // Bytes of a link's usable rate that a byte takes.
  double nvlink = 1, network = 1;
  // What a NIC's sends wait for one after the other, beyond what their bytes take on the links.
  BytesPerSecond pieces{std::numeric_limits<double>::infinity()};
};
// On links of the cluster, by its measured latencies and shares.
TransportCost CostOf(const Cluster& cluster, Transport transport);

// Most that a communication kernel moves with so many SMs, bytes that a GPU sends.
BytesPerSecond RateOfSms(int sms);

}  // namespace moecast
