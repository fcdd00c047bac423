// What --print shows of a prepared step: ops, their costs, solved blocks, the schedule.
#include "base/quantity_text.h"
#include "costmodel/collectives/algorithms.h"
#include "viz/table.h"
#include "viz/train_view.h"

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
  j["sigma_curve"] = cost.sigma_curve;
  j["sigma_own"] = cost.sigma_own;
  j["bound"] = NameOf(cost.bound);
  j["extrapolated"] = cost.extrapolated;
  j["source"] = TextOf((*step.sources)[cost.source]);
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

// What a block is called: whose, and what of it.
struct BlockName {
  std::string block;
  std::string pass;
};

BlockName NameOfBlock(const StepBlocks& blocks, int32_t id) {
  const StepBlock& block = blocks[id];
  if (!block.parts.empty())
    return {BlocksText(block, Pass::kForward), std::string(NameOf(Phase::kForwardBackward))};
  if (id < BlockIds::kFirstMove)
    return {std::string(NameOf(KindOf(id))), std::string(NameOf(PassOf(id)))};
  if (id < BlockIds::kSend) {
    const DataMove move = MoveOf(id);
    const Phase phase = move.reduces ? Phase::kGradReduce : Phase::kParamGather;
    return {std::string(NameOf(move.kind)), std::string(NameOf(phase)) + " over " +
                                                std::string(NameOf(kDataGroupKinds[move.group]))};
  }
  if (id == BlockIds::kSend) return {"pipeline", "send"};
  const int32_t at = id - BlockIds::kFirstOfStages;
  const Phase phase = at % 2 == 0 ? Phase::kGradNorm : Phase::kOptimizer;
  return {Printf("stage %d", at / 2), std::string(NameOf(phase))};
}

// visit(block, its name) for all blocks that run something; of stages with one block only the
// first.
template <class Visit>
void EachBlock(const StepBlocks& blocks, Visit visit) {
  for (int32_t id = 0; id < blocks.size(); ++id) {
    const StepBlock* block = blocks.Find(id);
    const bool of_stage = id >= BlockIds::kFirstOfStages + 2;
    if (!block || block->alone.total.value <= 0) continue;
    if (of_stage && block->parts.empty() && blocks.Find(id - 2) == block) continue;
    visit(*block, NameOfBlock(blocks, id));
  }
}

Json BlockJson(const StepBlock& block, const BlockName& name) {
  Json j = {{"block", name.block}, {"pass", name.pass}};
  if (!block.parts.empty()) j["backward_block"] = BlocksText(block, Pass::kBackward);
  AddTime(block.alone, j);
  return j;
}

std::string StageText(const StageBlocks& runs) {
  std::string text;
  for (const BlockRun& run : runs)
    text += (text.empty() ? "" : ", ") + (run.count > 1 ? Printf("%d ", run.count) : "") +
            std::string(NameOf(run.kind));
  return text;
}

Json LayoutJson(const Step& step) {
  Json list = Json::array();
  const PieceMap& map = step.layout.map;
  for (int stage = 0; stage < map.stages(); ++stage) {
    for (int chunk = 0; chunk < map.held(); ++chunk) {
      const int v = map.VirtualStage(stage, chunk);
      Json blocks = Json::array();
      for (const BlockRun& run : step.layout.runs[v])
        blocks.push_back({{"kind", NameOf(run.kind)}, {"count", run.count}});
      list.push_back({{"stage", stage},
                      {"rank", step.RankOfStage(stage)},
                      {"chunk", chunk},
                      {"virtual_stage", v},
                      {"blocks", blocks}});
    }
  }
  return list;
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
  if (part == StepPart::kLayout) return LayoutJson(step);
  EachBlock(step.blocks, [&](const StepBlock& block, const BlockName& name) {
    if (part == StepPart::kBlocks) {
      list.push_back(BlockJson(block, name));
      return;
    }
    const CostedOps& costed = block.costed;
    for (size_t i = 0; i < costed.ops.size() && block.parts.empty(); ++i) {
      Json op = {{"block", name.block}, {"pass", name.pass}};
      op.update(part == StepPart::kOps ? OpJson(costed.ops[i])
                                       : CostJson(step, costed.ops[i], costed.costs[i]));
      list.push_back(std::move(op));
    }
  });
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

// The ops of a block, or what they cost.
std::string OpsText(const Step& step, const CostedOps& costed, StepPart part) {
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
    const bool rate = flops > 0 && cost.time.value > 0;
    rows.push_back({name, ShapeText(op), ShowSeconds(cost.time),
                    rate ? Printf("%.0f", flops / cost.time.value / 1e12) : "-",
                    Printf("%.0f%%", 100 * SigmaOf(cost)), std::string(NameOf(cost.bound)),
                    TextOf((*step.sources)[cost.source])});
  }
  return Aligned(rows, part == StepPart::kOps ? "llrr" : "llrrrll");
}

}  // namespace

std::string StepPartText(const Step& step, StepPart part) {
  std::string out;
  if (part == StepPart::kSchedule)
    return "\n" + PrintSchedule(WrittenScheduleOf(step), step.timing);
  if (part == StepPart::kLayout) {
    Rows rows = {{"stage", "rank", "chunk", "virtual stage", "blocks"}};
    const PieceMap& map = step.layout.map;
    for (int stage = 0; stage < map.stages(); ++stage)
      for (int chunk = 0; chunk < map.held(); ++chunk)
        rows.push_back({Printf("%d", stage), Printf("%d", step.RankOfStage(stage)),
                        Printf("%d", chunk), Printf("%d", map.VirtualStage(stage, chunk)),
                        StageText(step.layout.runs[map.VirtualStage(stage, chunk)])});
    return "\nlayout\n" + Aligned(rows, "rrrrl");
  }
  EachBlock(step.blocks, [&](const StepBlock& block, const BlockName& name) {
    const bool pair = !block.parts.empty();
    if (pair && part != StepPart::kBlocks) return;  // its ops are those of its halves
    const std::string total = ShowSeconds(block.alone.total);
    out += pair ? Printf("\n%s forward + %s full backward: %s\n", name.block.c_str(),
                         BlocksText(block, Pass::kBackward).c_str(), total.c_str())
                : Printf("\n%s %s: %s\n", name.block.c_str(), name.pass.c_str(), total.c_str());
    out += part == StepPart::kBlocks ? TimeText(block.alone) : OpsText(step, block.costed, part);
  });
  return out;
}

WrittenSchedule WrittenScheduleOf(const Step& step) {
  const auto block = [&step](int32_t id) {
    const BlockName name = NameOfBlock(step.blocks, id);
    return WrittenBlock{name.block + " " + name.pass, step.times[static_cast<size_t>(id)].total};
  };
  return Written(step.schedule(), block, {Time::From(step.times[BlockIds::kSend].total)},
                 LongerByTask(step.excess, step.times));
}

}  // namespace moecast
