// The tables a calibration may have: file layout, the model whose ratio to the measurement is
// interpolated, and how.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/enum_names.h"
#include "base/known.h"
#include "costmodel/calibration/curve_table.h"
#include "costmodel/calibration/gemm_model.h"
#include "costmodel/calibration/ratio_surface.h"

namespace moecast {

// Of an estimate on a measured curve, the share of both levels that stays: repeated rows of one
// shape in the element-wise and projection tables differ by about 1.5%, a third of what the
// interpolation is off; from one step of the grid on, the left-out error holds.
inline constexpr Known kSigmaShareOnCurve = {
    0.35, "repeats of one shape in the Vidur tables differ by 1.5%"};

enum class TableId : uint8_t {
  kGemmBf16,
  kGemmFp8,
  kGemmFp8Block,
  kMlaBmmBf16,  // the absorbed up-projections: one product a head
  kMlaBmmFp8,
  kMlaPrefill,
  kMlaPrefillFp8,  // fp8 cache, bf16 arithmetic
  kMlaDecodeBf16,
  kMlaDecodeFp8,
  kAttentionPrefillBf16,
  kAttentionPrefillFp8,
  kAttentionDecodeBf16,
  kAttentionDecodeFp8,
  kMoeBf16,
  kMoeFp8,
  kMoeFp8Block,
};
inline constexpr int kTableCount = 16;

struct TableKind {
  TableId id;
  std::string_view name;               // also the file, with ".csv"
  std::vector<std::string_view> keys;  // columns of the key, numbers
  std::string_view axis;
  RatioSurface::Scheme scheme;
  // Seconds the model gives for a point: the key's numbers, the axis, the head sizes of attention,
  // the device.
  double (*baseline)(std::span<const double> key, double axis, const HeadSizes& heads,
                     const Machine& machine);
  // Flops of a point as its algorithm needs them, padding aside.
  double (*work)(std::span<const double> key, double axis, const HeadSizes& heads);
  // Where a curve lies on the surface.
  RatioSurface::Curve (*place)(std::span<const double> key);
  bool by_family =
      false;  // curves of one first and third key (hidden size, experts) are left out together
  bool of_attention = false;  // its record says the head sizes
};

const TableKind& KindOf(TableId id);
const TableKind* FindTableKind(std::string_view name);  // null for none
std::span<const TableKind> TableKinds();

// The table's text; `heads` of all its rows, where it is one of attention. Throws as the other
// does.
CurveTable ParseCurveTable(const Measurements& text, const TableKind& kind, const HeadSizes& heads);

// Times of the table in microseconds; `machine` is the one they were measured on.
RatioSurface BuildSurface(const TableKind& kind, const CurveTable& table, const Machine& machine);

// Attention over `query` new tokens of `context` keys, plain (multi-head or grouped) form.
struct AttentionWork {
  double heads = 0;
  double kv_heads = 0;
  double qk_dim = 0;
  double v_dim = 0;
  double batch = 0;
  double query = 0;
  double context = 0;
  bool causal = true, fp8 = false;
  double kv_bytes = 2;  // of one element
  bool decode = false;  // one query token a sequence, the heads of a group in one block

  // 2 (qk + v) a query-key pair and head; causal attention counts the pairs it looks at, which is
  // half of all for a sequence that attends to itself.
  double flops() const;
  double bytes() const;
};
struct Roofline {
  double compute = 0, memory = 0, overhead = 0;
  double seconds() const { return (compute > memory ? compute : memory) + overhead; }
  Bound bound() const {
    if (overhead > compute && overhead > memory) return Bound::kLatency;
    return compute >= memory ? Bound::kCompute : Bound::kMemory;
  }
};
// Blocks of 128 queries of one head and sequence spread over the SMs, the last one padded; the
// longest block bounds from below. Decode: a block of at least 64 rows a sequence and key head,
// keys split as the device needs (flash decoding).
Roofline AttentionRoofline(const AttentionWork& work, const Machine& machine);

// One query token a sequence against compressed keys, a part of which are the values.
struct MlaDecodeWork {
  double heads = 0, batch = 0, context = 0;
  double qk_dim = 0, v_dim = 0;  // elements of a compressed key, and of them the value's
  double kv_bits = 16;           // of one

  double flops() const;
  double bytes() const;  // each key once; queries and outputs in bf16
};
// Heads padded to the 64 rows of a wgmma.
Roofline MlaDecodeRoofline(const MlaDecodeWork& work, const Machine& machine);

// One rank's share of a MoE layer with balanced routing.
struct MoeWork {
  double tokens = 0;
  double hidden = 0;
  double inter = 0;
  double experts = 0;
  double top_k = 0;
  double ep = 1;
  Dtype dtype = Dtype::kBf16;

  double local_experts() const { return experts / ep; }
  double rows() const { return tokens * top_k / ep; }
  double flops() const { return 6 * rows() * hidden * inter; }  // gate, up and down
  double bytes() const;
};
Roofline MoeRoofline(const MoeWork& work, const Machine& machine);

}  // namespace moecast
