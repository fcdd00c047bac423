#include "viz/ops_view.h"

#include <variant>

#include "base/quantity_text.h"
#include "costmodel/collectives/algorithms.h"
#include "viz/table.h"

namespace moecast {
namespace {

// "4096 x 24576 x 1536 bf16", "dp 0.4 GB", ...
std::string ShapeText(const Op& op) {
  struct Visitor {
    std::string operator()(const GemmQuery& q) const {
      return Printf("%s m %lld n %lld k %lld %s", std::string(NameOf(q.pass)).c_str(),
                    static_cast<long long>(q.m), static_cast<long long>(q.n),
                    static_cast<long long>(q.k), std::string(NameOf(q.dtype)).c_str());
    }
    std::string operator()(const GroupedGemmQuery& q) const {
      return Printf("%s %lld groups, rows %lld n %lld k %lld %s",
                    std::string(NameOf(q.pass)).c_str(), static_cast<long long>(q.groups),
                    static_cast<long long>(q.rows_total), static_cast<long long>(q.n),
                    static_cast<long long>(q.k), std::string(NameOf(q.dtype)).c_str());
    }
    std::string operator()(const AttentionQuery& q) const {
      return Printf("%s batch %lld heads %lld/%lld dims %lld/%lld query %lld context %lld%s",
                    std::string(NameOf(q.phase)).c_str(), static_cast<long long>(q.batch),
                    static_cast<long long>(q.heads), static_cast<long long>(q.kv_heads),
                    static_cast<long long>(q.qk_dim), static_cast<long long>(q.v_dim),
                    static_cast<long long>(q.query), static_cast<long long>(q.context),
                    q.causal ? " causal" : "");
    }
    std::string operator()(const MlaDecodeQuery& q) const {
      return Printf("decode batch %lld heads %lld context %lld of %g bits",
                    static_cast<long long>(q.batch), static_cast<long long>(q.heads),
                    static_cast<long long>(q.context), q.kv_bits);
    }
    std::string operator()(const ElementwiseQuery& q) const {
      return std::string(NameOf(q.kind)) + " " + ShowBytes(q.bytes);
    }
    std::string operator()(const CollectiveQuery& q) const {
      return std::string(NameOf(q.kind)) + " over " + std::string(NameOf(q.group)) + " of " +
             ShowBytes(q.bytes) +
             (q.algorithm ? " by " + std::string(q.algorithm->name) : std::string());
    }
    std::string operator()(const HostQuery& q) const {
      return std::string(NameOf(q.work)) + " " + ShowBytes(q.bytes);
    }
  };
  return std::visit(Visitor{}, op.query);
}

std::string NameText(const Op& op) {
  return std::string(NameOf(op.name)) + (op.recomputed ? " (again)" : "");
}

}  // namespace

Json OpJson(const Op& op) {
  return {{"name", NameOf(op.name)},
          {"class", NameOf(op.op_class())},
          {"stream", NameOf(op.stream())},
          {"shape", ShapeText(op)},
          {"after", op.after},
          {"recomputed", op.recomputed},
          {"flops", FlopsOf(op.query).value},
          {"bytes", BytesOf(op.query).value}};
}

Json CostJson(const CostSources& sources, const Op& op, const Cost& cost) {
  Json j = OpJson(op);
  j["time_us"] = cost.time.value * 1e6;
  j["sigma_table"] = cost.sigma_table;
  j["sigma_curve"] = cost.sigma_curve;
  j["sigma_own"] = cost.sigma_own;
  j["bound"] = NameOf(cost.bound);
  j["extrapolated"] = cost.extrapolated;
  j["source"] = TextOf(sources[cost.source]);
  return j;
}

void AddTime(const BlockTime& b, Json& j) {
  Json busy = Json::object(), exposed = Json::object();
  for (int c = 0; c < kOpClasses; ++c)
    busy[std::string(NameOf(static_cast<OpClass>(c)))] = b.busy[c].value;
  for (int g = 0; g < kGroupKinds; ++g)
    if (b.exposed[g].value > 0)
      exposed[std::string(NameOf(static_cast<GroupKind>(g)))] = b.exposed[g].value;
  j.update({{"seconds", b.total.value},
            {"busy_seconds", busy},
            {"recomputed_seconds", b.recomputed.value},
            {"exposed_seconds", exposed}});
}

std::string TimeText(const BlockTime& b) {
  Rows rows;
  for (int c = 0; c < kOpClasses; ++c)
    if (b.busy[c].value > 0)
      rows.push_back({std::string(NameOf(static_cast<OpClass>(c))), ShowSeconds(b.busy[c])});
  if (b.recomputed.value > 0) rows.push_back({"recompute", ShowSeconds(b.recomputed)});
  for (int g = 0; g < kGroupKinds; ++g)
    if (b.exposed[g].value > 0)
      rows.push_back(
          {"exposed " + std::string(NameOf(static_cast<GroupKind>(g))), ShowSeconds(b.exposed[g])});
  return Aligned(rows, "lr");
}

std::string OpsText(const CostedOps& costed) {
  Rows rows = {{"op", "what", "GFLOP", "bytes"}};
  for (const Op& op : costed.ops) {
    const double flops = FlopsOf(op.query).value;
    rows.push_back({NameText(op), ShapeText(op), flops > 0 ? Printf("%.1f", flops / 1e9) : "-",
                    ShowBytes(BytesOf(op.query))});
  }
  return Aligned(rows, "llrr");
}

std::string CostsText(const CostSources& sources, const CostedOps& costed) {
  Rows rows = {{"op", "what", "time", "TFLOP/s", "+-", "bound", "source"}};
  for (size_t i = 0; i < costed.ops.size(); ++i) {
    const Op& op = costed.ops[i];
    const Cost& cost = costed.costs[i];
    const double flops = FlopsOf(op.query).value;
    const bool rate = flops > 0 && cost.time.value > 0;
    rows.push_back({NameText(op), ShapeText(op), ShowSeconds(cost.time),
                    rate ? Printf("%.0f", flops / cost.time.value / 1e12) : "-",
                    Printf("%.0f%%", 100 * SigmaOf(cost)), std::string(NameOf(cost.bound)),
                    TextOf(sources[cost.source])});
  }
  return Aligned(rows, "llrrrll");
}

}  // namespace moecast
