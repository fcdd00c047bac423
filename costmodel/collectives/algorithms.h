// Which algorithms run a collective, in one table: what the command line, the tests and `auto`
// choose from.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "costmodel/collectives/choice.h"
#include "costmodel/collectives/collectives.h"
#include "costmodel/collectives/kind.h"

namespace moecast {

struct CollectiveCall {
  CollectiveKind kind = CollectiveKind::kAllReduce;
  // GPUs, ascending; of a send the senders, followed by as many receivers in the senders' order.
  std::vector<int> group;
  Bytes bytes;         // costmodel/collectives/kind.h
  TokenSpread spread;  // of dispatch and combine
  int sms = 0;         // that its kernels run on; 0: as many as the links want
};

// What keeps an algorithm from running on a group.
enum class Needs : uint8_t { kNothing, kOneNode, kEvenNodes };

struct CollectiveAlgorithm {
  CollectiveKind kind;
  std::string_view name;
  std::string_view help;
  bool automatic;  // `auto` may choose it: what NCCL, or for tokens DeepEP's normal kernels, would
                   // run
  Needs needs;
  Parts (*lower)(const CollectiveCall&, const Routes&);
  // The same by kinds of pairs, where everyone sends alike to everyone else.
  std::vector<EvenSends> (*even)(const CollectiveCall&, const Routes&) = nullptr;
  SentOnce sent_once = SentOnce::kPerDevice;  // a token, where `even` is there
  bool of_engines = false;                    // `engine` may choose it beside the automatic ones
};
// All rows, by kind, those of a kind in the order that `--help` lists them. They live as long as
// the program, so that a pointer to one names it.
std::span<const CollectiveAlgorithm> CollectiveAlgorithms();

// The row of that kind and name; null where there is none.
const CollectiveAlgorithm* FindAlgorithm(CollectiveKind kind, std::string_view name);
// Of a kind, in the table's order.
std::vector<std::string_view> AlgorithmNames(CollectiveKind kind);

// What the algorithm expects of its group; empty where it runs on this one.
std::string_view Unfit(const CollectiveAlgorithm& algorithm, std::span<const int> group,
                       const Routes& routes);

// Throws UserError naming `option`: the kind has no algorithm of that name, or it cannot run on the
// group.
const CollectiveAlgorithm& FindAlgorithm(const CollectiveCall& call, std::string_view name,
                                         const Routes& routes,
                                         const std::string& option = "--algorithm");

// Those of the kind that are automatic and run on the group, in the table's order: at least one.
// `engines`: those of inference engines too.
std::vector<const CollectiveAlgorithm*> AutomaticAlgorithms(CollectiveKind kind,
                                                            std::span<const int> group,
                                                            const Routes& routes,
                                                            bool engines = false);

// What takes a group's tokens to their experts: the one that the choice names, or the first that is
// automatic (of an engine's two too). REQUIRES: `auto`, `engine` or a name of the table.
const CollectiveAlgorithm& DispatchOf(const CollectiveChoice& choice, std::span<const int> group,
                                      const Routes& routes);

// The automatic algorithm that takes the least time alone on idle links; of equal ones the first of
// the table.
const CollectiveAlgorithm& FastestAlgorithm(const CollectiveCall& call, const Cluster& cluster,
                                            const Routes& routes);

// Its parts, in the order they run, on the call's SMs; each is merged. REQUIRES: Unfit says
// nothing.
Parts Lower(const CollectiveAlgorithm& algorithm, const CollectiveCall& call, const Routes& routes);

}  // namespace moecast
