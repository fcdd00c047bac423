// What --print shows of a prepared step: ops, their costs, solved blocks, the schedule.
#include "base/quantity_text.h"
#include "viz/ops_view.h"
#include "viz/table.h"
#include "viz/train_view.h"

namespace moecast {
namespace {

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
                                       : CostJson(*step.sources, costed.ops[i], costed.costs[i]));
      list.push_back(std::move(op));
    }
  });
  return list;
}

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
    out += part == StepPart::kBlocks ? TimeText(block.alone)
           : part == StepPart::kOps  ? OpsText(block.costed)
                                     : CostsText(*step.sources, block.costed);
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
