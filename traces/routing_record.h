// Routing recorded from a running model: which experts each token went to, layer by layer, or only
// how many tokens each expert took in each micro-batch. Two forms, told apart by their first bytes:
//
// Binary, little-endian, nothing between the parts:
//   8 bytes  "MOEROUTE"
//   uint32   version, 1
//   uint32   content: 0 counts, 1 choices, 2 choices with affinities
//   uint32   layers (MoE layers, first first)
//   uint32   experts (routed)
//   uint32   top_k, the most experts of a token; 0 for counts
//   uint32   0
//   uint64   rows: micro-batches for counts, tokens for choices
//   counts   uint32 [layers][rows][experts]
//   choices  uint16 [layers][rows][top_k], best first; 65535 at a token's end where it has fewer
//            experts
//   then     float32 [layers][rows][top_k], the affinities, where the content has them
//
// CSV (traces/measurements.h), one row a count or a choice; what comes is found out by the columns:
//   layer,micro_batch,expert,tokens        counts; what is absent is 0
//   layer,token,expert[,affinity]          choices; a token's rows best first
// Layers, micro-batches, tokens and experts are numbered from 0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moecast {

struct RoutingRecord {
  int layers = 0;
  int experts = 0;
  int top_k = 0;                  // 0: counts
  int64_t rows = 0;               // micro-batches or tokens, of every layer
  std::vector<uint32_t> counts;   // [layers][rows][experts]
  std::vector<uint16_t> choices;  // [layers][rows][top_k]
  std::vector<float> affinities;  // as choices, or empty

  bool has_choices() const { return top_k > 0; }
  bool operator==(const RoutingRecord&) const = default;
};
inline constexpr uint16_t kNoExpert = 65535;

// `experts` of the model the record is read for. Throws UserError: another magic, version or number
// of experts, sizes that do not fit the text's length, an expert twice for one token or beyond the
// experts, an affinity that is no number from 0 to 1, for CSV also what Measurements throws and
// other columns.
RoutingRecord ParseRoutingRecord(std::string_view text, const std::string& file, int experts);

// The binary form.
std::string WriteRoutingRecord(const RoutingRecord& record);

}  // namespace moecast
