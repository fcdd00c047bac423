// What --print shows of a prepared step: ops, their costs, solved blocks, the schedule.
#include <cmath>

#include "base/quantity_text.h"
#include "viz/table.h"
#include "viz/train_view.h"

namespace moecast {
namespace {

// "4096 x 24576 x 1536 bf16", "dp 0.4 GB", ...
std::string ShapeText(const Op& op) {
  struct Visitor {
    std::string operator()(const GemmQuery& q) const {
      return Printf("%s m %lld n %lld k %lld %s", std::string(NameOf(q.pass)).c_str(),
                    static_cast<long long>(q.m), static_cast<long long>(q.n), static_cast<long long>(q.k),
                    std::string(NameOf(q.dtype)).c_str());
    }
    std::string operator()(const GroupedGemmQuery& q) const {
      return Printf("%s %lld groups, rows %lld n %lld k %lld %s", std::string(NameOf(q.pass)).c_str(),
                    static_cast<long long>(q.groups), static_cast<long long>(q.rows_total),
                    static_cast<long long>(q.n), static_cast<long long>(q.k),
                    std::string(NameOf(q.dtype)).c_str());
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
      return Printf("decode batch %lld heads %lld context %lld of %g bits", static_cast<long long>(q.batch),
                    static_cast<long long>(q.heads), static_cast<long long>(q.context), q.kv_bits);
    }
    std::string operator()(const ElementwiseQuery& q) const {
      return std::string(NameOf(q.kind)) + " " + ShowBytes(q.bytes);
    }
    std::string operator()(const CollectiveQuery& q) const {
      return std::string(NameOf(q.kind)) + " over " + std::string(NameOf(q.group)) + " of " +
             ShowBytes(q.bytes);
    }
    std::string operator()(const HostQuery& q) const {
      return std::string(NameOf(q.work)) + " " + ShowBytes(q.bytes);
    }
  };
  return std::visit(Visitor{}, op.query);
}

template <class Visit>
void EachPass(const Step& step, Visit visit) {
  for (int k = 0; k < kBlockKinds; ++k) {
    const BlockKind kind = static_cast<BlockKind>(k);
    if (!step.blocks.Has(kind)) continue;
    for (const Pass pass : {Pass::kForward, Pass::kBackward, Pass::kWeight}) visit(kind, pass);
  }
}

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

Json CostJson(const Step& step, const Op& op, const Cost& cost) {
  Json j = OpJson(op);
  j["time_us"] = cost.time.value * 1e6;
  j["sigma_table"] = cost.sigma_table;
  j["sigma_own"] = cost.sigma_own;
  j["bound"] = NameOf(cost.bound);
  j["extrapolated"] = cost.extrapolated;
  j["source"] = step.sources->at(cost.source);
  return j;
}

void AddTime(const BlockTime& b, Json& j) {
  Json busy = Json::object(), exposed = Json::object();
  for (int c = 0; c < kOpClasses; ++c) busy[std::string(NameOf(static_cast<OpClass>(c)))] = b.busy[c].value;
  for (int g = 0; g < kGroupKinds; ++g)
    if (b.exposed[g].value > 0) exposed[std::string(NameOf(static_cast<GroupKind>(g)))] = b.exposed[g].value;
  j.update({{"seconds", b.total.value},
            {"busy_seconds", busy},
            {"recomputed_seconds", b.recomputed.value},
            {"exposed_seconds", exposed}});
}

Json BlockJson(const Step& step, BlockKind kind, Pass pass) {
  Json j = {{"block", NameOf(kind)}, {"pass", NameOf(pass)}};
  AddTime(step.blocks.Of(kind, pass).alone, j);
  return j;
}

// "embedding, 3 dense-layer": the blocks whose pass a pair has.
std::string BlocksText(const StepBlock& pair, Pass pass) {
  std::string text;
  const std::vector<int32_t>& parts = pair.parts;
  for (size_t i = 0; i < parts.size();) {
    size_t end = i;
    while (end < parts.size() && parts[end] == parts[i]) ++end;
    if (PassOf(parts[i]) == pass)
      text += (text.empty() ? "" : ", ") + (end - i > 1 ? Printf("%zu ", end - i) : "") +
              std::string(NameOf(KindOf(parts[i])));
    i = end;
  }
  return text;
}

Json PairJson(const Step& step, size_t pair) {
  Json j = {{"block", BlocksText(step.blocks.pairs[pair], Pass::kForward)},
            {"pass", NameOf(Phase::kForwardBackward)},
            {"backward_block", BlocksText(step.blocks.pairs[pair], Pass::kBackward)}};
  AddTime(step.blocks.pairs[pair].alone, j);
  return j;
}

Json TaskJson(const Step& step, int32_t i) {
  const Task& t = step.schedule().tasks[i];
  const Lane& lane = step.schedule().lanes[step.schedule().LaneOf(i)];
  Json j = {{"stage", lane.rank},
            {"stream", NameOf(lane.stream)},
            {"phase", NameOf(t.phase)},
            {"micro_batch", t.micro_batch},
            {"chunk", t.chunk},
            {"part", t.part},
            {"start_s", step.timing.start[i].seconds().value},
            {"end_s", step.timing.end[i].seconds().value}};
  if (t.phase == Phase::kForwardBackward) {
    j["backward_micro_batch"] = t.backward_micro_batch;
    j["backward_chunk"] = t.backward_chunk;
  }
  return j;
}

}  // namespace

Json StepPartJson(const Step& step, StepPart part) {
  Json list = Json::array();
  if (part == StepPart::kSchedule) {
    for (size_t i = 0; i < step.schedule().tasks.size(); ++i)
      list.push_back(TaskJson(step, static_cast<int32_t>(i)));
    return list;
  }
  EachPass(step, [&](BlockKind kind, Pass pass) {
    if (part == StepPart::kBlocks) {
      list.push_back(BlockJson(step, kind, pass));
      return;
    }
    const CostedOps& costed = step.blocks.Of(kind, pass).costed;
    for (size_t i = 0; i < costed.ops.size(); ++i) {
      Json op = {{"block", NameOf(kind)}, {"pass", NameOf(pass)}};
      op.update(part == StepPart::kOps ? OpJson(costed.ops[i])
                                       : CostJson(step, costed.ops[i], costed.costs[i]));
      list.push_back(std::move(op));
    }
  });
  if (part == StepPart::kBlocks)
    for (size_t i = 0; i < step.blocks.pairs.size(); ++i) list.push_back(PairJson(step, i));
  return list;
}

namespace {

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

}  // namespace

std::string StepPartText(const Step& step, StepPart part) {
  std::string out;
  if (part == StepPart::kSchedule) {
    Rows rows = {{"stage", "stream", "phase", "micro-batch", "chunk", "part", "start", "end"}};
    for (size_t i = 0; i < step.schedule().tasks.size(); ++i) {
      const Task& t = step.schedule().tasks[i];
      const Lane& lane = step.schedule().lanes[step.schedule().LaneOf(static_cast<int32_t>(i))];
      rows.push_back({Printf("%d", lane.rank), std::string(NameOf(lane.stream)), std::string(NameOf(t.phase)),
                      Printf("%d", t.micro_batch) +
                          (t.backward_micro_batch < 0 ? "" : Printf(" + %d", t.backward_micro_batch)),
                      Printf("%d", t.chunk), t.part < 0 ? "-" : Printf("%d", t.part),
                      Printf("%.6f s", step.timing.start[i].seconds().value),
                      Printf("%.6f s", step.timing.end[i].seconds().value)});
    }
    return "\nschedule\n" + Aligned(rows, "rll");
  }
  EachPass(step, [&](BlockKind kind, Pass pass) {
    const CostedOps& costed = step.blocks.Of(kind, pass).costed;
    const BlockTime& solved = step.blocks.Of(kind, pass).alone;
    if (costed.ops.empty()) return;
    out += Printf("\n%s %s: %s\n", std::string(NameOf(kind)).c_str(), std::string(NameOf(pass)).c_str(),
                  ShowSeconds(solved.total).c_str());
    if (part == StepPart::kBlocks) {
      out += TimeText(solved);
      return;
    }
    Rows rows = {{"op", "what", "GFLOP", "bytes"}};
    if (part == StepPart::kCosts) rows = {{"op", "what", "time", "TFLOP/s", "+-", "bound", "source"}};
    for (size_t i = 0; i < costed.ops.size(); ++i) {
      const Op& op = costed.ops[i];
      const Cost& cost = costed.costs[i];
      const std::string name = std::string(NameOf(op.name)) + (op.recomputed ? " (again)" : "");
      const double flops = FlopsOf(op.query).value;
      if (part == StepPart::kOps) {
        rows.push_back({name, ShapeText(op), flops > 0 ? Printf("%.1f", flops / 1e9) : "-",
                        ShowBytes(BytesOf(op.query))});
        continue;
      }
      const double spread = std::sqrt(cost.sigma_table * cost.sigma_table + cost.sigma_own * cost.sigma_own);
      rows.push_back({name, ShapeText(op), ShowSeconds(cost.time),
                      flops > 0 && cost.time.value > 0 ? Printf("%.0f", flops / cost.time.value / 1e12) : "-",
                      Printf("%.0f%%", 100 * spread), std::string(NameOf(cost.bound)),
                      step.sources->at(cost.source)});
    }
    out += Aligned(rows, part == StepPart::kOps ? "llrr" : "llrrrll");
  });
  if (part == StepPart::kBlocks) {
    for (size_t i = 0; i < step.blocks.pairs.size(); ++i) {
      const StepBlock& p = step.blocks.pairs[i];
      out += Printf("\n%s forward + %s full backward: %s\n", BlocksText(p, Pass::kForward).c_str(),
                    BlocksText(p, Pass::kBackward).c_str(),
                    ShowSeconds(step.blocks.pairs[i].alone.total).c_str()) +
             TimeText(step.blocks.pairs[i].alone);
    }
  }
  return out;
}

}  // namespace moecast
