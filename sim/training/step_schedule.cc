#include "sim/training/step_schedule.h"

#include <algorithm>

#include "base/check.h"

namespace moecast {
namespace {

// The programs of a step's tasks by Schedule::program_of.
struct ProgramIndex {
  int virtual_stages = 0;
  int stages = 0;

  // As LowerPipeline numbers them: of a pair that of its forward.
  int Whole(int virtual_stage, Phase phase) const {
    return virtual_stage * kPipelinePhases + static_cast<int>(phase);
  }
  // Of one block of a task that is no pair.
  int Part(BlockKind kind, Phase phase) const {
    return Whole(virtual_stages + static_cast<int>(kind), phase);
  }
  // A reduction or a gather, by the number of its block.
  int Move(int32_t block) const {
    return Whole(virtual_stages + kBlockKinds, Phase::kForward) + block - BlockIds::kFirstMove;
  }
  int GradNorm(int stage) const { return Move(BlockIds::kSend) + stage; }
  int Optimizer(int stage) const { return GradNorm(stages) + stage; }
  int size() const { return Optimizer(stages); }
};

std::vector<Program> ProgramsOf(const Layout& layout, std::span<const int32_t> pair_of,
                                const ProgramIndex& index) {
  std::vector<Program> programs(static_cast<size_t>(index.size()));
  const BlockIds ids{index.stages};
  constexpr Phase kPhases[] = {Phase::kForward, Phase::kBackward, Phase::kWeight,
                               Phase::kFullBackward};
  for (const Phase phase : kPhases) {
    for (int v = 0; v < index.virtual_stages; ++v)
      programs[index.Whole(v, phase)] = ProgramOf(layout.runs[v], phase);
    for (int k = 0; k < kBlockKinds; ++k) {
      const auto kind = static_cast<BlockKind>(k);
      programs[index.Part(kind, phase)] = ProgramOf({{kind, 1}}, phase);
    }
  }
  for (size_t v = 0; v < pair_of.size(); ++v)
    programs[index.Whole(static_cast<int>(v), Phase::kForwardBackward)] = {
        {ids.Pair(static_cast<size_t>(pair_of[v])), 1}};
  for (int32_t id = BlockIds::kFirstMove; id < BlockIds::kSend; ++id)
    programs[index.Move(id)] = {{id, 1}};
  for (int stage = 0; stage < index.stages; ++stage) {
    programs[index.GradNorm(stage)] = {{BlockIds::GradNorm(stage), 1}};
    programs[index.Optimizer(stage)] = {{BlockIds::Optimizer(stage), 1}};
  }
  return programs;
}

// Builds the lanes one after another; dependencies are given by the final task ids, known once all
// lanes are laid out.
class Assembler {
 public:
  Assembler(const PipelineShape& shape, const TrainingSchedule& pipeline, const Layout& layout,
            const StepShape& step)
      : shape_(shape),
        pipeline_(pipeline),
        layout_(layout),
        step_(step),
        index_{shape.virtual_stages(), shape.stages},
        first_part_(pipeline.tasks.size()),
        last_part_(pipeline.tasks.size()),
        gather_(static_cast<size_t>(shape.virtual_stages())),
        gradients_(static_cast<size_t>(shape.virtual_stages())) {}

  TrainingSchedule Build(std::span<const int32_t> pair_of, int32_t stands_for) {
    for (int s = 0; s < shape_.stages; ++s) ComputeLane(s, stands_for);
    const bool experts =
        std::find(step_.experts.begin(), step_.experts.end(), true) != step_.experts.end();
    for (int group = 0; group < (experts ? kDataGroups : 1); ++group)
      for (int s = 0; s < shape_.stages; ++s) DataLane(s, group, stands_for);
    // With a barrier the norm's task stands for a stage's share of it; every optimizer waits for
    // all of them.
    if (step_.norm && step_.norm_is_barrier)
      for (const int32_t optimizer : optimizers_)
        for (const int32_t norm : norms_) edges_.push_back({optimizer, {norm, -1}});
    Link();
    out_.programs = ProgramsOf(layout_, pair_of, index_);
    return std::move(out_);
  }

 private:
  struct Edge {
    int32_t task;
    Dependency on;
  };

  void OpenLane(int stage, Stream stream, int32_t stands_for) {
    if (out_.lane_begin.empty()) out_.lane_begin.push_back(0);
    out_.lanes.push_back({.rank = stage, .stream = stream, .stands_for = stands_for});
  }
  void CloseLane() { out_.lane_begin.push_back(static_cast<int32_t>(out_.tasks.size())); }

  // One task for each block of the virtual stage, in the order the phase runs them.
  template <class Visit>
  void EachBlock(int v, bool reversed, Visit visit) {
    const std::vector<PlacedBlock>& blocks = layout_.blocks[v];
    for (size_t i = 0; i < blocks.size(); ++i) {
      const size_t part = reversed ? blocks.size() - 1 - i : i;
      visit(blocks[part].kind, static_cast<int16_t>(part));
    }
  }

  void ComputeLane(int s, int32_t stands_for) {
    OpenLane(s, Stream::kCompute, stands_for);
    const int32_t begin = pipeline_.lane_begin[s], end = pipeline_.lane_begin[s + 1];
    std::vector<int32_t> first_forward(static_cast<size_t>(shape_.held()), -1),
        last_gradient = first_forward;
    for (int32_t i = begin; i < end; ++i) {
      EachHalf(pipeline_.tasks[i], [&](Phase phase, int32_t, int16_t chunk) {
        if (phase == Phase::kForward && first_forward[chunk] < 0) first_forward[chunk] = i;
        if (DoesWeight(phase)) last_gradient[chunk] = i;
      });
    }

    for (int32_t i = begin; i < end; ++i) {
      const Task& t = pipeline_.tasks[i];
      const int v = layout_.map.VirtualStage(s, t.chunk);
      const bool first = i == first_forward[t.chunk], last = i == last_gradient[t.chunk];
      // A schedule that pairs fills and drains with tasks that are no pairs.
      MOECAST_CHECK(t.phase != Phase::kForwardBackward ||
                    !(first || last || i == last_gradient[t.backward_chunk]));
      const bool empty = layout_.blocks[v].empty();
      const bool gathers = first && step_.gathers && step_.overlap_gather && !empty;
      const bool reduces = last && step_.reduces && step_.overlap_reduce && !empty;
      first_part_[i] = static_cast<int32_t>(out_.tasks.size());
      if (gathers || reduces) {
        EachBlock(v, reduces, [&](BlockKind kind, int16_t part) {
          const int32_t id =
              out_.Append(index_.Part(kind, t.phase), {t.micro_batch, t.chunk, part, t.phase});
          if (gathers) gather_[v].push_back(id);
          if (reduces) gradients_[v].push_back(id);
        });
      } else {
        const int32_t id = out_.Append(index_.Whole(v, t.phase), t);
        if (first) gather_[v].push_back(id);
        if (last) gradients_[v].push_back(id);
      }
      last_part_[i] = static_cast<int32_t>(out_.tasks.size()) - 1;
    }
    if (step_.norm) norms_.push_back(out_.Append(index_.GradNorm(s), {0, 0, -1, Phase::kGradNorm}));
    optimizers_.push_back(out_.Append(index_.Optimizer(s), {0, 0, -1, Phase::kOptimizer}));
    CloseLane();
  }

  void DataLane(int s, int group, int32_t stands_for) {
    OpenLane(s, StreamOf(kDataGroupKinds[group]), stands_for);
    const auto moves = [&](BlockKind kind) {
      return kDataGroupKinds[group] == GroupKind::kData || step_.experts[static_cast<size_t>(kind)];
    };
    // Chunks in the order in which the compute lane needs them.
    const auto virtual_stage = [&](int chunk) { return layout_.map.VirtualStage(s, chunk); };
    std::vector<int16_t> forward_order, gradient_order;
    for (int c = 0; c < shape_.held(); ++c) forward_order.push_back(static_cast<int16_t>(c));
    gradient_order = forward_order;
    const auto by_task = [&](const std::vector<std::vector<int32_t>>& ids) {
      return [&](int a, int b) {
        return ids[virtual_stage(a)].front() < ids[virtual_stage(b)].front();
      };
    };
    std::sort(forward_order.begin(), forward_order.end(), by_task(gather_));
    std::sort(gradient_order.begin(), gradient_order.end(), by_task(gradients_));

    if (step_.gathers) {
      int32_t last = -1;
      for (const int16_t c : forward_order) {
        const int v = virtual_stage(c);
        size_t i = 0;
        EachBlock(v, false, [&](BlockKind kind, int16_t part) {
          const size_t at = i++;
          if (!moves(kind)) return;
          const int program = index_.Move(BlockIds::ParamGather(kind, group));
          last = out_.Append(program, {0, c, part, Phase::kParamGather});
          if (step_.overlap_gather) edges_.push_back({gather_[v][at], {last, -1}});
        });
      }
      if (!step_.overlap_gather && last >= 0)
        edges_.push_back({gather_[virtual_stage(forward_order.front())].front(), {last, -1}});
    }
    if (step_.reduces) {
      int32_t last = -1;
      for (const int16_t c : gradient_order) {
        const int v = virtual_stage(c);
        size_t i = 0;
        EachBlock(v, true, [&](BlockKind kind, int16_t part) {
          const size_t at = i++;
          if (!moves(kind)) return;
          const int program = index_.Move(BlockIds::GradReduce(kind, group));
          last = out_.Append(program, {0, c, part, Phase::kGradReduce});
          // Gradients of a piece are summed over its copies, on whatever stages those are.
          for (int copy = v % shape_.pieces(); copy < shape_.virtual_stages();
               copy += shape_.pieces()) {
            const int32_t own = gradients_[virtual_stage(gradient_order.back())].back();
            edges_.push_back({last,
                              {step_.overlap_reduce ? gradients_[copy][at]
                               : copy == v          ? own
                                                    : gradients_[copy].back(),
                               -1}});
          }
        });
      }
      if (last >= 0) edges_.push_back({step_.norm ? norms_[s] : optimizers_[s], {last, -1}});
    }
    CloseLane();
  }

  void Link() {
    for (size_t i = 0; i < pipeline_.tasks.size(); ++i)
      for (int32_t d = pipeline_.dependency_begin[i]; d < pipeline_.dependency_begin[i + 1]; ++d)
        edges_.push_back(
            {first_part_[i],
             {last_part_[pipeline_.dependencies[d].task], pipeline_.dependencies[d].transfer}});
    // Counting sort by task.
    out_.dependency_begin.assign(out_.tasks.size() + 1, 0);
    for (const Edge& e : edges_) ++out_.dependency_begin[e.task + 1];
    for (size_t i = 0; i < out_.tasks.size(); ++i)
      out_.dependency_begin[i + 1] += out_.dependency_begin[i];
    std::vector<int32_t> at(out_.dependency_begin.begin(), out_.dependency_begin.end() - 1);
    out_.dependencies.resize(edges_.size());
    for (const Edge& e : edges_) out_.dependencies[at[e.task]++] = e.on;
  }

  const PipelineShape& shape_;
  const TrainingSchedule& pipeline_;
  const Layout& layout_;
  const StepShape& step_;
  ProgramIndex index_;
  TrainingSchedule out_;
  std::vector<int32_t> first_part_, last_part_;  // by task of the pipeline
  std::vector<std::vector<int32_t>> gather_;  // by virtual stage: tasks that need its weights first
  std::vector<std::vector<int32_t>>
      gradients_;                            // by virtual stage: tasks that complete its gradients
  std::vector<int32_t> norms_, optimizers_;  // by stage
  std::vector<Edge> edges_;
};

}  // namespace

Program ProgramOf(const StageBlocks& blocks, Phase phase) {
  Program program;
  const auto run = [&](BlockKind kind, Pass pass, int times) {
    program.push_back({BlockIds::Of(kind, pass), times});
  };
  if (phase == Phase::kForward)
    for (const BlockRun& block : blocks) run(block.kind, Pass::kForward, block.count);
  for (auto block = blocks.rbegin(); phase != Phase::kForward && block != blocks.rend(); ++block) {
    if (phase == Phase::kBackward) run(block->kind, Pass::kBackward, block->count);
    if (phase == Phase::kWeight) run(block->kind, Pass::kWeight, block->count);
    for (int i = 0; phase == Phase::kFullBackward && i < block->count; ++i) {
      run(block->kind, Pass::kBackward, 1);
      run(block->kind, Pass::kWeight, 1);
    }
  }
  return program;
}

TrainingSchedule BuildStepSchedule(const PipelineSchedule& schedule, const PipelineShape& shape,
                                   const PipelineOrder& order, const Layout& layout,
                                   std::span<const int32_t> pair_of, const StepShape& step,
                                   int32_t stands_for) {
  MOECAST_CHECK(layout.map.virtual_stages() == shape.virtual_stages());
  const TrainingSchedule pipeline = LowerPipeline(schedule, shape, order);
  return Assembler(shape, pipeline, layout, step).Build(pair_of, stands_for);
}

}  // namespace moecast
