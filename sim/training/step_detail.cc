// Where the time, the memory and the traffic of a prepared step go.
#include <algorithm>

#include "base/check.h"
#include "sim/training/step.h"

namespace moecast {

int PreparedStep::RankOfStage(int stage) const {
  RankCoordinates c;
  c[Axis::kPp] = stage;
  return placement_.GpuOf(c);
}

std::vector<int> PreparedStep::LayersByStage() const {
  std::vector<int> layers;
  for (int v = 0; v < shape_.pieces(); ++v) {
    int n = 0;
    for (const BlockRun& run : blocks_of_[v])
      if (run.kind == BlockKind::kDense || run.kind == BlockKind::kMoe) n += run.count;
    layers.push_back(n);
  }
  return layers;
}

std::vector<LaneTime> PreparedStep::LaneTimes() const {
  std::vector<LaneTime> lanes;
  for (int s = 0; s < shape_.stages; ++s) {
    LaneTime lane;
    // How often each chunk runs each phase; of a task split by block its first part counts.
    std::vector<int> runs(static_cast<size_t>(shape_.held()) * kPipelinePhases);
    for (int32_t i = order_->schedule.lane_begin[s]; i < order_->schedule.lane_begin[s + 1]; ++i)
      if (const Task& t = order_->schedule.tasks[i]; OfPipeline(t.phase) && t.part <= 0)
        ++runs[static_cast<size_t>(t.chunk) * kPipelinePhases + static_cast<size_t>(t.phase)];
    for (size_t r = 0; r < runs.size(); ++r)
      if (runs[r] > 0)
        lane.blocks += BlocksOf(pipeline_->virtual_stage(shape_, s, static_cast<int>(r) / kPipelinePhases),
                                static_cast<Phase>(r % kPipelinePhases)) *
                       runs[r];
    for (int32_t i = order_->schedule.lane_begin[s]; i < order_->schedule.lane_begin[s + 1]; ++i)
      lane.blocks.total += Longer(i);
    // A gap before a task is charged to what ended last of the things it waited for.
    Time previous{}, in_pipeline{};
    for (int32_t i = order_->schedule.lane_begin[s]; i < order_->schedule.lane_begin[s + 1]; ++i) {
      const Time gap = timing_.start[i] - previous;
      previous = timing_.end[i];
      const Phase phase = order_->schedule.tasks[i].phase;
      if (OfPipeline(phase)) in_pipeline += timing_.end[i] - timing_.start[i];
      if (phase == Phase::kGradNorm) lane.grad_norm += (timing_.end[i] - timing_.start[i]).seconds();
      if (phase == Phase::kOptimizer) lane.optimizer += (timing_.end[i] - timing_.start[i]).seconds();
      if (gap == Time{}) continue;
      Phase cause = Phase::kForward;
      for (int32_t d = order_->schedule.dependency_begin[i]; d < order_->schedule.dependency_begin[i + 1];
           ++d) {
        const Dependency& on = order_->schedule.dependencies[d];
        if (ArrivalOf(d) == timing_.start[i]) cause = order_->schedule.tasks[on.task].phase;
      }
      Seconds& charged = cause == Phase::kGradReduce    ? lane.grad_reduce
                         : cause == Phase::kParamGather ? lane.param_gather
                                                        : lane.bubble;
      charged += gap.seconds();
    }
    if (flows_ > 0) lane.contention = AboveRounding(in_pipeline.seconds() - lane.blocks.total);
    // Without a barrier the lane's step may be shorter than the time of all stages: the rest is no bubble of
    // this step.
    lane.bubble += StepTime() - lane.total();
    lanes.push_back(lane);
  }
  return lanes;
}

StageBlocks PreparedStep::BlocksOfTask(int stage, int16_t chunk, int16_t part) const {
  const StageBlocks& whole = blocks_of_[pipeline_->virtual_stage(shape_, stage, chunk)];
  if (part < 0) return whole;
  int position = 0;
  for (const BlockRun& run : whole) {
    position += run.count;
    if (part < position) return {{run.kind, 1}};
  }
  MOECAST_CHECK(false);
}

// The running sum along the compute lane. The forward of a pair allocates before its backward frees.
std::vector<AliveBytes> PreparedStep::ActivationsAlong(int stage) const {
  std::vector<AliveBytes> along;
  double alive = 0, peak = 0;
  for (int32_t i = order_->schedule.lane_begin[stage]; i < order_->schedule.lane_begin[stage + 1]; ++i) {
    const Task& t = order_->schedule.tasks[i];
    double most = alive;
    const auto run = [&](Phase phase, int32_t, int16_t chunk) {
      for (const BlockRun& blocks : BlocksOfTask(stage, chunk, t.part)) {
        const BlockMemory& m = kinds_[static_cast<size_t>(blocks.kind)].ops.memory;
        alive += blocks.count * (phase == Phase::kForward    ? m.kept().value
                                 : phase == Phase::kBackward ? (m.gradients - m.until_backward).value
                                 : phase == Phase::kWeight   ? -(m.until_weight + m.gradients).value
                                                             : -m.kept().value);
      }
      most = std::max(most, alive);
    };
    if (OfPipeline(t.phase)) EachHalf(t, run);
    along.push_back({Bytes(most), Bytes(alive)});
    peak = std::max(peak, most);
  }
  MOECAST_CHECK(alive < 1e-6 * peak + 1 && alive > -1e-6 * peak - 1);
  return along;
}

StageMemory PreparedStep::MemoryWithoutActivations(int stage) const {
  const Plan& plan = run_.plan;
  const double tokens = static_cast<double>(work_.sequences * work_.sequence_length) / plan.parallel.cp /
                        (plan.parallel.sequence ? plan.parallel.tp : 1);
  StageMemory memory;
  double bucket = 0;
  const auto needs = [&](std::vector<BlockKind> kinds) {
    Bytes transient;
    for (const BlockKind kind : kinds) transient += Ops(kind).memory.transient;
    if (transient > memory.transient) {
      memory.transient = transient;
      memory.transient_of = std::move(kinds);
    }
  };
  for (int c = 0; c < shape_.held(); ++c) {
    const int v = pipeline_->virtual_stage(shape_, stage, c);
    for (const BlockRun& run : blocks_of_[v]) {
      const Kind& kind = kinds_[static_cast<size_t>(run.kind)];
      BlockParameters held{kind.parameters.data * run.count, kind.parameters.expert * run.count};
      memory.states += StatesOf(held, plan, shape_.copies);
      needs({run.kind});
      // Some block of a forward and some of a backward at once.
      if (pipeline_->pairs)
        for (const BlockRun& other : blocks_of_[OtherOfPair(v)]) needs({run.kind, other.kind});
      bucket = std::max(
          bucket, (kind.parameters.data + kind.parameters.expert) * ElementBytes(plan.precision.grad_reduce));
    }
  }
  const bool data_parallel = plan.parallel.dp * plan.parallel.cp * shape_.copies > 1;
  // Gradients reduced in the format they are summed in need no copy; others go through two buckets.
  const bool copies = data_parallel && plan.precision.grad_reduce != plan.precision.main_grad;
  memory.receive_buffers = Bytes(shape_.stages > 1 ? 4 * tokens * run_.model.hidden * 2 : 0);
  memory.buckets = Bytes(copies ? 2 * bucket : 0);
  memory.runtime = Bytes(kRuntimeBytes.value);
  return memory;
}

std::vector<StageMemory> PreparedStep::MemoryByStage() const {
  std::vector<StageMemory> stages;
  for (int s = 0; s < shape_.stages; ++s) {
    stages.push_back(MemoryWithoutActivations(s));
    for (const AliveBytes& alive : ActivationsAlong(s))
      stages.back().activations = std::max(stages.back().activations, alive.most);
  }
  return stages;
}

Bytes PreparedStep::HostBytesPerNode() const {
  if (run_.plan.optimizer.offload == 0) return {};
  std::vector<Bytes> of_stage, of_node(static_cast<size_t>(run_.cluster.NodeOf(placement_.world() - 1)) + 1);
  for (int s = 0; s < shape_.stages; ++s) of_stage.push_back(MemoryWithoutActivations(s).states.host);
  for (int gpu = 0; gpu < placement_.world(); ++gpu)
    of_node[run_.cluster.NodeOf(gpu)] += of_stage[placement_.CoordinatesOf(gpu)[Axis::kPp]];
  return *std::max_element(of_node.begin(), of_node.end());
}

std::vector<StageTraffic> PreparedStep::TrafficByStage() const {
  const double m = shape_.micro_batches_each();
  std::vector<StageTraffic> stages;
  for (int s = 0; s < shape_.stages; ++s) {
    double nvlink = 0, network = 0;
    const auto add = [&](const StageTraffic& t, double times) {
      nvlink += t.nvlink.value * times;
      network += t.network.value * times;
    };
    for (int c = 0; c < shape_.held(); ++c) {
      const int v = pipeline_->virtual_stage(shape_, s, c);
      for (const BlockRun& run : blocks_of_[v]) {
        const size_t kind = static_cast<size_t>(run.kind);
        for (const StageTraffic& pass : traffic_[kind]) add(pass, run.count * m);
        add(data_parallel_traffic_[kind], run.count);
      }
      // Activations to the next virtual stage, gradients to the one before, where they are on another stage.
      for (const int neighbour : {v - 1, v + 1}) {
        bool elsewhere = neighbour < v ? !shape_.starts_model(v) : !shape_.ends_model(v);
        for (int other = 0; other < shape_.held(); ++other)
          elsewhere = elsewhere && pipeline_->virtual_stage(shape_, s, other) != neighbour;
        if (elsewhere) add(send_traffic_, m);
      }
    }
    stages.push_back({Bytes(nvlink), Bytes(network)});
  }
  return stages;
}

double PreparedStep::ExtrapolatedFraction() const {
  double all = 0, outside = 0;
  for (const StageBlocks& blocks : blocks_of_) {
    for (const BlockRun& run : blocks) {
      for (const CostedOps& pass : kinds_[static_cast<size_t>(run.kind)].costed) {
        for (const Cost& c : pass.costs) {
          all += run.count * c.time.value;
          outside += c.extrapolated ? run.count * c.time.value : 0;
        }
      }
    }
  }
  return all > 0 ? outside / all : 0;
}

}  // namespace moecast
