#include "sim/serving/kv_transfers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "costmodel/collectives/collectives.h"
#include "costmodel/memory.h"
#include "sim/network/collective_run.h"
#include "sim/network/flows.h"
#include "sim/serving/serving_memory.h"

namespace moecast {

KvTransfers::KvTransfers(const ServingRun& run)
    : run_(run),
      prefill_(PrefillPoolOf(run.deployment)),
      routes_(run.cluster),
      network_(LinkCapacities(run.cluster)) {}

// Every GPU of the receiver gets its share of the cache, from as many senders as there are: a
// latent lies on all of them alike, heads of keys and values where they are.
void KvTransfers::Start(Time now, int from_rank, int to_rank, int64_t tokens, int64_t tag) {
  const int from_tp = prefill_.parallel.tp, to_tp = run_.deployment.parallel.tp;
  const int pairs = std::max(from_tp, to_tp);
  std::vector<int> from, to;
  for (int i = 0; i < pairs; ++i) {
    from.push_back(from_rank * from_tp + i * from_tp / pairs);
    to.push_back(prefill_.gpus() + to_rank * to_tp + i * to_tp / pairs);
  }
  const double elements =
      static_cast<double>(CachedElements(run_.deployment, run_.model, tokens, to_tp));
  const Bytes bytes(elements * run_.deployment.kv_bits / 8 * to_tp / pairs);
  const Traffic traffic = Send(from, to, bytes, routes_);
  if (traffic.unreachable > 0)
    throw UserError({.file = "cluster " + run_.cluster.name,
                     .expected = "a way for the KV cache from GPU " + std::to_string(from.front()) +
                                 " to GPU " + std::to_string(to.front())});
  const FlowTag id = next_++;
  const Time at = now + Time::From(AlphaOf(traffic, run_.cluster));
  Transfer& transfer = transfers_[id];
  transfer.tag = tag;
  for (Flow& flow : FlowsOf(traffic, run_.cluster, at)) {
    delayed_.emplace(at, Delayed{id, std::move(flow)});
    ++transfer.left;
  }
}

void KvTransfers::Cancel(Time now, int64_t tag) {
  const auto transfer = std::find_if(transfers_.begin(), transfers_.end(),
                                     [&](const auto& of) { return of.second.tag == tag; });
  MOECAST_CHECK(transfer != transfers_.end());
  const FlowTag id = transfer->first;
  std::erase_if(delayed_, [&](const auto& flow) { return flow.second.transfer == id; });
  network_.Cancel(now, id);
  transfers_.erase(transfer);
}

Time KvTransfers::Next() {
  const Time start = delayed_.empty() ? kNever : delayed_.begin()->first;
  return std::min(start, network_.Next());
}

void KvTransfers::Advance(Time to, std::vector<int64_t>& arrived) {
  done_.clear();
  network_.Advance(to, done_);
  for (const FlowTag id : done_) {
    const auto transfer = transfers_.find(id);
    if (--transfer->second.left > 0) continue;
    arrived.push_back(transfer->second.tag);
    transfers_.erase(transfer);
  }
  for (; !delayed_.empty() && delayed_.begin()->first <= to; delayed_.erase(delayed_.begin())) {
    const auto& [id, flow] = delayed_.begin()->second;
    network_.Start(to, flow.links, flow.bytes, flow.multiplicity, id);
  }
}

}  // namespace moecast
