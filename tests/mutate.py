#!/usr/bin/env python3
"""Breaks the model one line at a time and looks whether a test dies.

  tests/mutate.py            every mutation, one after another
  tests/mutate.py WORD...    those whose names, files or tests have one of the words
  tests/mutate.py --check    only that each text is somewhere exactly once

Works in a copy below build/mutate with a build of its own; the checkout is only read. A mutation is killed when the
tests named with it fail, abort or hang; exit code 1 where one survives, does not compile, or its text is not found exactly
once. Each names the few tests that must see it, so that one object and one test program are built; that other tests may
see it too is not looked at.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "mutate"
BUILD = COPY / "build" / "dev"
SOURCES = ("base", "topology", "traces", "costmodel", "sim", "scenarios")
LIMIT_S = 300  # of one run of tests; the named ones take seconds


class Mutation(NamedTuple):
    breaks: str  # what is wrong then
    text: str  # somewhere in the sources exactly once
    becomes: str
    tests: str  # FOLDER GTEST_FILTER


MUTATIONS = [
    # Links and collectives.
    Mutation("a NIC behind slow PCIe has its own rate",
             "std::min(UsableNicOf(c, pool), device.pcie_usable)", "UsableNicOf(c, pool)",
             "topology ClusterTest.*"),
    Mutation("a step inside a node takes as long as one between",
             "cost.nvlink_step * traffic.nvlink_steps", "cost.network_step * traffic.nvlink_steps",
             "topology TrafficTest.*"),
    Mutation("pieces of a send cost nothing",
             "cost.pieces = Bytes(kPieceBytes.value) / c.send_piece;", "",
             "topology TransportTest.*"),
    Mutation("a faster NIC makes a send's pieces take longer",
             "beyond = std::max(beyond, l.bytes / pieces)",
             "beyond = CapacityOf(cluster, l.link) / GBps(10) * (l.bytes / pieces)",
             "costmodel FasterTest.*"),
    Mutation("a dispatch finds the first pool's NICs",
             "slowest = std::min(slowest, RateOf(c, &pool, port))", "(void)pool",
             "topology ClusterTest.*"),
    Mutation("a ring sends all of the buffer",
             "bytes * (n - 1) / n", "bytes * n / n", "costmodel RingTest.*"),
    Mutation("an all-reduce goes around once",
             "Ring(group, bytes, 2, routes", "Ring(group, bytes, 1, routes", "costmodel RingTest.*"),
    Mutation("rounds of a ring wait for nothing",
             "(steps + kRoundWait.value) / steps", "1", "costmodel RingTest.*"),
    Mutation("a tree goes up and not down",
             "traffic.network_steps = 2 *", "traffic.network_steps = 1 *", "costmodel TreeTest.*"),
    Mutation("a token crosses the network once for each device",
             "bytes * (spread.nodes /", "bytes * (spread.devices /", "costmodel ExpertAllToAllTest.*"),
    Mutation("what comes from other nodes is not passed on",
             "to_device * static_cast<double>(on.nodes)", "to_device",
             "costmodel ExpertAllToAllTest.*"),
    Mutation("pairs of an index are as any others",
             "BytesOf(a == b, i == j), pairs", "BytesOf(a == b, false), pairs",
             "sim GroupFlowsTest.*"),
    Mutation("a rank's neighbour is next in every ring",
             "static_cast<double>(local - 1)", "static_cast<double>(local)", "costmodel RingTest.*"),
    Mutation("NVLS adds and does not write",
             "each_way = 1 + 1.0 /", "each_way = 1.0 /", "costmodel NvlsTest.*"),
    Mutation("between nodes goes the whole buffer",
             "bytes / static_cast<double>(on.local)", "bytes", "costmodel HierarchicalTest.*"),
    Mutation("a step's collective takes the algorithm that is slowest",
             "(time > least || (time == least", "(time < least || (time == least",
             "costmodel OpCostsTest.*"),
    Mutation("a step's dispatch has all SMs",
             ".sms = kind == CollectiveKind::kDispatch ? communication_sms_ : 0}", ".sms = 0}", "costmodel OpCostsTest.*"),
    Mutation("an algorithm that starts later is never tried",
             "c.alpha > least) break", "c.alpha > fastest->alpha) break",
             "costmodel OpCostsTest.*"),
    Mutation("parts one after the other share the links at once",
             "all.stretch = busy / BusyTime(all, cluster)", "all.stretch = 1",
             "costmodel OpCostsTest.*"),
    Mutation("what the plan names is not what runs",
             ": choice_.Of(query.kind);", ": kAutoAlgorithm;", "costmodel OpCostsTest.*"),
    # Operators.
    Mutation("a product counts additions alone",
             "return 2 * D(q.m) * D(q.n) * D(q.k)", "return D(q.m) * D(q.n) * D(q.k)", "costmodel LayerOpsTest.*"),
    Mutation("causal attention meets all keys",
             "CausalPairs(query, context) - query / 2", "query * context", "costmodel LayerOpsTest.*"),
    Mutation("experts' main gradients are written and not read",
             "weights * 2 * ElementBytes(q.main_grad)", "weights * ElementBytes(q.main_grad)", "costmodel OpTest.*"),
    Mutation("context parallelism does not halve the context",
             "(q.context + q.query) / 2", "q.context", "costmodel LayerOpsTest.*"),
    Mutation("the backward of a norm does not read its gradient",
             "3 * elements * kBf16", "2 * elements * kBf16", "costmodel LayerOpsTest.*"),
    Mutation("an activation's output is not written",
             "(up + 1) * bytes + copy", "up * bytes + copy", "costmodel LayerOpsTest.*"),
    Mutation("the embedding's gradient is written and not read",
             "2 * ElementBytes(b.shard.precision.main_grad)", "ElementBytes(b.shard.precision.main_grad)",
             "costmodel LayerOpsTest.*"),
    Mutation("weight gradients wait for the slowest device",
             "work.load.visits.mean", "work.load.visits.most", "costmodel LayerOpsTest.*"),
    Mutation("an exchange has one buffer",
             "2 * one_way", "1 * one_way", "costmodel KeptTensorTest.*"),
    Mutation("tp does not cut experts",
             "(parts.routed_experts) / shard.tp / shard.ep", "(parts.routed_experts) / shard.ep", "costmodel ParametersTest.*"),
    Mutation("the backward of MLA has as many flops as two forwards",
             "kBackwardFlops = 2.5", "kBackwardFlops = 2.0", "costmodel BuiltinCalibration.*"),
    Mutation("a weight gradient reads no main gradient",
             "2 * ElementBytes(main_grad) - counted", "ElementBytes(main_grad) - counted",
             "costmodel BuiltinCalibration.*"),
    Mutation("power caps nothing",
             "std::max(1.0, c.utilisation / w.sustained)", "1.0", "scenarios WholeStepTest.*"),
    # Attention, gates, serving.
    Mutation("tp cuts MLA's down-projections",
             "return DownMatrices(a, hidden) + LatentNorms(a)", "return LatentNorms(a)",
             "costmodel AttentionKindTest.*:ParametersTest.*"),
    Mutation("a window bounds no cache",
             "a.sliding_window > 0 ? std::min<int64_t>(context, a.sliding_window) : context", "context",
             "costmodel ModelTest.*"),
    Mutation("a sigmoid is as steep everywhere",
             "return 1 - affinity;", "return 1;", "costmodel ScoringTest.*"),
    Mutation("the context of the last sequence is all there is",
             "work.context_sum += p.context", "work.context_sum = p.context", "costmodel WorkTest.*"),
    Mutation("a chunk meets as many keys as its average query",
             "/ tokens + (queries - 1) / 2", "/ tokens", "costmodel ServingOpsTest.*"),
    Mutation("cached latents are projected up once for ever",
             "KvUp(b, static_cast<double>(part.context_sum))", "KvUp(b, b.tokens)", "costmodel ServingOpsTest.*"),
    Mutation("decode reads what MLA caches in bf16, whatever its format",
             ".kv_bits = b.shard.kv_bits,", ".kv_bits = 16,", "costmodel ServingOpsTest.*"),
    Mutation("serving multiplies every token with the vocabulary",
             "const auto rows = static_cast<double>(b.work.sequences)", "const auto rows = b.tokens",
             "costmodel ServingOpsTest.*"),
    Mutation("a batch reads the weights of all experts",
             "std::lround(local * (1 - missed))", "std::lround(local + 0 * missed)",
             "costmodel ServingOpsTest.*"),
    Mutation("tp ranks sum experts row by row in serving",
             "const bool sums_last = !b.trains() && ep == 1;", "const bool sums_last = false;",
             "costmodel ServingOpsTest.*"),
    Mutation("nothing is kept for the tokens to come",
             "policy_->reserves ? BlocksOf(s.prompt, s.output) : 0", "0", "sim SchedulerTest.*"),
    Mutation("norms of queries and keys have no parameters",
             "return a.qk_norm ? 2 * int64_t{a.head_dim} : 0;", "return 0;", "scenarios BuiltinModelTest.*"),
    Mutation("the engine's share of the memory has no NCCL in it",
             "(d.parallel.gpus() > 1 ? kNcclBufferBytes.value : 0)", "0", "sim DeploymentTest.*"),
    Mutation("plans that combine in other formats share a key",
             "std::tie(gemm, dispatch, combine,", "std::tie(gemm, dispatch,", "costmodel ShardPlanTest.*"),
    Mutation("sequence parallelism cuts no tokens",
             "shard.sequence ? in_tp / shard.tp : in_tp", "in_tp", "costmodel ShardPlanTest.*"),
    Mutation("a token goes to each device of a node over the network",
             "if (once == SentOnce::kPerNode && !whole_nodes)", "if (once == SentOnce::kPerNode)",
             "costmodel SpreadTest.*"),
    Mutation("tokens go in two hops whatever algorithm takes them",
             "SentOnce once = DispatchOf(shard.collectives, group, Routes(cluster)).sent_once",
             "SentOnce once = SentOnce::kPerNode", "costmodel SpreadTest.*"),
    Mutation("copies of a token for each expert are counted as for each device",
             "to_experts ? uniform.experts : uniform.devices", "uniform.devices", "sim LoadsTest.*"),
    Mutation("of two hops one after the other the longer counts",
             "setup.in_turn ? a + b : std::max(a, b)", "std::max(a, b)", "sim LoadsTest.*"),
    # Memory.
    Mutation("experts' states are cut over all of dp",
             "shard.edp() * each", "shard.dp * each", "sim TrainingMemoryTest.*"),
    Mutation("Adam reads its moments and does not write them",
             "4 * ElementBytes(p.moments)", "2 * ElementBytes(p.moments)", "costmodel MemoryTest.*"),
    Mutation("the pipeline has buffers for one direction",
             "kMessages = 2 * 2", "kMessages = 2", "sim StepMemoryTest.*"),
    Mutation("gradients that travel otherwise have one bucket",
             "in_buckets ? 2 * bucket", "in_buckets ? 1 * bucket", "sim StepMemoryTest.*"),
    # Schedules.
    Mutation("1F1B warms up by one more",
             "(p - s - 1) * depth", "(p - s) * depth", "sim Pipeline*"),
    Mutation("ZB-H1 puts no weight gradient off",
             "SplitWeights(shape, 1, order)", "SplitWeights(shape, 0, order)", "sim PipelineClosedFormTest.*"),
    Mutation("interleaved chunks warm up as 1F1B does",
             "2 * (shape.stages - stage - 1)", "1 * (shape.stages - stage - 1)", "sim PipelineMemoryTest.*"),
    Mutation("an automatic order puts off more weight gradients than it may",
             "while (shape_.weight_delay >= 0 &&", "while (false &&",
             "sim *PipelinePropertyTest.*"),
    Mutation("the end's extra work is not split over stages",
             "(stage == stages - 1 ? last_extra.value : 0)", "(stage == stages ? last_extra.value : 0)",
             "sim BalancedSplitTest.*"),
    Mutation("the best split lies where the stages before are slower",
             "if (begin > s) best = std::min(best,", "if (begin > n) best = std::min(best,",
             "sim BalancedSplitTest.*"),
    Mutation("a split leaves the last stages one layer less than they take",
             "begin = fewest[s + 1] - 1;\n    while (begin > s &&", "begin = fewest[s + 1];\n    while (begin > n &&",
             "sim BalancedSplitTest.*"),
    # Engine and step.
    Mutation("transfers take no time",
             "(end[task] + waits[wait]).ps", "end[task].ps", "sim RetimerTest.*:PipelineGoldenTest.*"),
    Mutation("of several things a task waits for the first alone",
             "for (int32_t d = other->first; d < other->last; ++d)\n        wait_for(dep",
             "for (int32_t d = other->first; d < std::min(other->first + 1, other->last); ++d)\n        wait_for(dep", "sim RetimerTest.*"),
    Mutation("communication takes no memory bandwidth from kernels",
             "return std::max(1 - hbm, fair)", "return 1", "sim SolveBlockTest.*"),
    Mutation("beside two collectives a kernel runs as beside one",
             "beside - (others - 1) * (1 - beside)", "beside", "sim SolveBlockTest.*"),
    Mutation("where collectives want all SMs a kernel has hardly any",
             "std::min(beside, fair)", "0.05", "sim SolveBlockTest.*"),
    Mutation("an exposed second is each communicator's",
             "Seconds(seconds / communicate)", "Seconds(seconds)", "sim SolveBlockTest.*"),
    Mutation("while a collective is under way another starts only when it ends",
             "next_ = may_start ? now_ + step : INFINITY", "next_ = INFINITY",
             "sim RunningBlockTest.*"),
    Mutation("a collective that meets another runs on as alone",
             "if (WakeOthers(unit, e.index, now)) return Wake(e.index, claim.block, now);", "",
             "sim *RunShared*"),
    Mutation("what a collective has sent before it meets another is sent again",
             "flow.bytes * bytes, served, flow.multiplicity, waiting",
             "flow.bytes * bytes, Bytes(0), flow.multiplicity, waiting", "sim *RunShared*"),
    Mutation("what a block lost to a collective that was late is forgotten",
             "if (until != end) lane.shift += (until - end) * lane.slower;", "", "sim *RunShared*"),
    Mutation("what is over when it is met is waited for",
             "if (served_.empty()) network_.Start(now, {}, Bytes(0), 1, waiting);", "",
             "sim RunSharedTest.*"),
    Mutation("a link that others fill is taken for one that is never full",
             "held && sum <= capacity_[l]", "held", "sim StepFlowsTest.*"),
    Mutation("experts' weights move on the communicator of all others",
             "OpenLane(s, StreamOf(kDataGroupKinds[group]), stands_for);",
             "OpenLane(s, Stream::kData, stands_for);", "sim StepScheduleTest.*"),
    Mutation("hidden communication counts as exposed",
             "if (!computes)\n      result_.exposed", "result_.exposed", "sim SolveBlockTest.*"),
    Mutation("the optimizer waits for its own stage's norm alone",
             "if (step_.norm && step_.norm_is_barrier)", "if (false)", "sim StepScheduleTest.*"),
    Mutation("the slowest rank also delays weight gradients",
             "|| ran.pass == Pass::kWeight", "", "sim StragglersTest.*"),
    Mutation("the span of a step leaves out its gather",
             "timing.start[first] - longest", "timing.start[first]",
             "sim StepExposureTest.*"),
    Mutation("waiting for gradients counts as waiting for weights",
             ".grad_reduce = waited(Phase::kGradReduce)", ".grad_reduce = waited(Phase::kParamGather)",
             "sim StepExposureTest.*"),
    Mutation("what a step waits for a barrier is lost",
             "+ after.seconds()}", "}", "sim StepBubbleTest.*"),
    # Networks.
    Mutation("what other flows keep of a link is given out again",
             "link.capacity - link.used", "link.capacity", "sim FluidNetworkTest.*"),
    Mutation("a flow whose rate changes begins anew",
             "kind.served += kind.rate *", "kind.served = kind.rate *", "sim FluidNetworkTest.*"),
    Mutation("two that use a link do not share it",
             "senders[s.link].size() > 1", "senders[s.link].size() > 2", "sim StepFlowsTest.*"),
    # Routing.
    Mutation("a group counts by its best expert alone",
             "return best + next;", "return best;", "costmodel GateTest.*:TopKMethodTest.*"),
    Mutation("the router's bias is in the weights",
             "out.affinity[at] = affinity[expert]", "out.affinity[at] = scores[expert]", "costmodel GateTest.*"),
    Mutation("of equal affinities the earlier visit is dropped",
             "                 : a > b;", "                 : a < b;", "costmodel Dropping*"),
    Mutation("a token visits as many nodes as devices",
             "PartsHit(moe, ep / ranks_per_node)", "PartsHit(moe, ep)", "costmodel SpreadTest.*"),
    Mutation("a collective takes all of the HBM",
             "std::min(kFairShare, moved", "std::min(1.0, moved", "costmodel BesideTest.*"),
    Mutation("an MTP module has one norm",
             "3 * static_cast<double>(NormParameters(model))", "static_cast<double>(NormParameters(model))",
             "costmodel ParametersTest.*"),
    Mutation("protected tokens are dropped too",
             "std::max(*routing.capacity_factor, load * routing.never_dropped)", "*routing.capacity_factor",
             "costmodel LoadTest.*"),
    # Requests.
    Mutation("what failed is served", "if (in == 0 || out == 0)", "if (in == 0)", "traces RequestsTest.*"),
    Mutation("arrivals may go backwards", "if (arrival < last)", "if (false)", "traces RequestsTest.*"),
    Mutation("a slice does not begin at 0", "kept.arrival = r.arrival - slice.start;", "kept.arrival = r.arrival;",
             "traces RequestsTest.*"),
    Mutation("bursty gaps are longer in the mean", "(spec_.burstiness * spec_.rate)", "spec_.rate", "traces ArrivalsTest.*"),
    Mutation("a profile changes the mean rate", "part *= static_cast<double>(profile_.size()) / sum", "part *= 1",
             "traces ArrivalsTest.*"),
    Mutation("answers know nothing of their prompts", "rho * a + std::sqrt(1 - rho * rho) * b", "b",
             "traces LengthsTest.*"),
    Mutation("the next turn forgets the answer", "prompt.Append(own.Next(), pair.output)",
             "prompt.Append(own.Next(), 0)", "traces SessionsTest.*"),
    Mutation("a block's hash forgets the blocks before it", "Random(now_ ^ part)", "Random(part)",
             "traces PromptBlocksTest.*"),
    Mutation("a prefix longer than the prompt is all hit",
             "std::min(static_cast<int64_t>(first_new) * trace.block_tokens, r.input_tokens)",
             "static_cast<int64_t>(first_new) * trace.block_tokens", "traces TrafficStatsTest.*"),
    Mutation("what a format cannot hold is drawn all the same",
             "if (to) CheckBlocks(*to, BlockTokensOf(spec), named.name);", "",
             "scenarios TrafficLoaderTest.WhatAFormat*"),
    # Forecast, causes, phases, failures, price.
    Mutation("draws that are timed together wait for no transfer",
             "before[k].ps + transfer[k].ps", "before[k].ps", "sim StepDrawsTest.*"),
    Mutation("draws that are timed together have one curve",
             "of_curve_[op.curve]", "of_curve_[0]", "sim StepDrawsTest.*"),
    Mutation("a memo forgets by age, not by use",
             "entries_.splice(entries_.begin(), entries_, entry);", "", "base MemoTest.*"),
    Mutation("plans that group experts otherwise share costs",
             ".topk_group = shard.topk_group,", "", "sim StepCacheTest.*"),
    Mutation("sources of small errors are not drawn",
             "if (c.sigma_table > 0) sources.insert(c.source);", "if (c.sigma_table > 0.09) sources.insert(c.source);",
             "sim *SourceIntervalTest.*"),
    Mutation("errors common to a table are not drawn",
             "noise.by_source[op.source] * op.sigma_table", "noise.by_source[op.source] * 0",
             "sim ForecastSpreadTest.*"),
    Mutation("errors common to a curve are not drawn",
             ".curves = &lattice", ".curves = nullptr", "sim ForecastSpreadTest.*"),
    Mutation("each estimate's own error is not drawn",
             ".own = &lattice", ".own = nullptr", "sim ForecastSpreadTest.*"),
    Mutation("the whole step's error is not drawn",
             "NormalQuantile(lattice.Point(i, kWholeStep))", "0", "sim ForecastSpreadTest.*"),
    Mutation("what is slower over shared links counts as sending",
             "std::min(p->transfer, step.shape.transfer.seconds())", "p->transfer", "sim CriticalPathTest.*:StepOnNetwork*"),
    Mutation("imbalance is no cause",
             'ledger.Add("imbalance", (loaded.total - level.total) * share);', "", "sim ImbalanceTest.*"),
    Mutation("a batch grows when the line is past it",
             "static_cast<double>(batches[i] + batches[i + 1]) / 2", "static_cast<double>(batches[i])",
             "costmodel PhaseTest.*"),
    Mutation("GPU-hours are of one GPU",
             "all_steps * phases_[i]->gpus() / Hours(1)", "all_steps / Hours(1)",
             "scenarios ProgrammeTest.*"),
    Mutation("days are priced",
             "e.cost_usd = e.gpu_hours *", "e.cost_usd = e.days *", "scenarios ProgrammeTest.*"),
    Mutation("a restart costs nothing",
             "std::exp(o.restart / o.mtbf) *", "", "costmodel ReliabilityTest.*"),
    Mutation("a run fails as often as one GPU",
             ".mtbf = r.mtbf_per_gpu / gpus", ".mtbf = r.mtbf_per_gpu", "costmodel ReliabilityTest.*"),
    # Written schedules.
    Mutation("a schedule's text forgets what a dependency waits for",
             'text += "+" + std::to_string(on.transfer)', 'text += ""', "sim ScheduleTextTest.*"),
    Mutation("a written backward may come before its forward",
             "if (has < first)", "if (has < 0)", "sim ScheduleTextTest.*"),
    Mutation("tasks that wait for each other are no fault",
             "if (done == count) return;", "if (done <= count) return;", "sim ScheduleTextTest.ErrorsSay*"),
    Mutation("a task that is shorter than it takes is no fault",
             "if (program + longer_[i] < Time{})", "if (program < Time{})", "sim ScheduleTextTest.ErrorsSay*"),
    # Serving.
    Mutation("a one-shot all-reduce reads a part of each buffer",
             "return PeerReads(group, bytes, 1, routes)", "return PeerReads(group, bytes * 0.5, 1, routes)",
             "costmodel PeerReadsTest.*"),
    Mutation("what a layer quantises is left in its product's time",
             "kMax) - included.In(table, r)", "kMax)", "scenarios CalibrationImportTest.WhatALayer*"),
    Mutation("a preempted sequence keeps its blocks",
             "GiveBack(s, s.blocks);\n      std::erase(prefilling_, last.slot);",
             "std::erase(prefilling_, last.slot);",
             "sim SchedulerTest.*"),
    Mutation("decodes never need another block",
             "cache_.Take(GrowingAt(iterations_));", "", "sim SchedulerTest.*"),
    Mutation("a sequence's first token is counted again after a preemption",
             "(s.began ? resumed_ : first_token_).push_back(s.id)", "first_token_.push_back(s.id)",
             "sim SchedulerTest.*"),
    Mutation("the whole of a known prompt is taken from the cache",
             "(prompt - 1) / cache_.run_tokens()", "prompt / cache_.run_tokens()", "sim SchedulerTest.*"),
    Mutation("of runs let go together the first of a prompt goes first",
             "for (auto hash = hashes.rbegin(); hash != hashes.rend(); ++hash) {\n    Run& run = runs_.at(*hash);",
             "for (auto hash = hashes.begin(); hash != hashes.end(); ++hash) {\n    Run& run = runs_.at(*hash);",
             "sim SchedulerTest.*"),
    Mutation("runs computed twice are kept twice",
             "    free_ += run_blocks_;\n  }\n  ++run->second.users;", "  }\n  ++run->second.users;",
             "sim SchedulerTest.*"),
    Mutation("idle runs are taken for free blocks twice",
             "if (own + known.idle * cache_.run_blocks() > cache_.available())",
             "if (own > cache_.available())", "sim SchedulerTest.*"),
    Mutation("a sender's blocks are free before its cache has been read",
             "if (!s.hands_over) GiveBack(s, s.blocks);", "GiveBack(s, s.blocks);", "sim SchedulerTest.*"),
    Mutation("a cache arrives with its first flow",
             "if (--transfer->second.left > 0) continue;", "--transfer->second.left;",
             "sim KvTransfersTest.*:SimulateTest.*"),
    Mutation("caches move without the latency of a send",
             "const Time at = now + Time::From(AlphaOf(traffic, run_.cluster));", "const Time at = now;",
             "sim KvTransfersTest.*"),
    Mutation("loads are uneven by one of the two measures",
             "highest - lowest > kBalanceAbsolute &&", "highest - lowest > kBalanceAbsolute ||",
             "sim RouterTest.*"),
    Mutation("the gap that a preemption makes is lost",
             "counts_.gaps.push_back({ends_ - stopped->second, 1});", "", "sim SimulateTest.*"),
    Mutation("ranks in step do not wait for the longest",
             "if (longest && of_rank.total <= time.total) continue;", "if (longest) continue;",
             "sim IterationCostsTest.*:SimulateTest.*"),
    Mutation("experts of a rank see its own tokens alone",
             "share->mean *= ratio;\n    share->most *= ratio;", "share->mean *= 1;", "sim IterationCostsTest.*"),
    Mutation("a closed loop lets in one more than asked for",
             "in_flight_ < at_once_ &&", "in_flight_ <= at_once_ &&", "sim SimulateTest.*"),
    Mutation("prompts cost what a decode would",
             "counts_.with_prompts += time.total + overhead - decode;", "counts_.with_prompts += decode;",
             "sim SimulateTest.*"),
    Mutation("a rate search stops at the first that holds",
             "(holds(middle) ? low : high) = middle;", "low = high = middle;",
             "sim FindRateTest.*"),
    Mutation("goodput counts every request",
             "return !value || value->value <= term.limit.value;", "return !value || value->value > 0;", "sim GoodputTest.*"),
    Mutation("decode alone forgets the engine's own time",
             "time.total + d.engine.OverheadOf(sequences)", "time.total",
             "sim DecodeCurveTest.*"),
]


def sh(*args, timeout=None):
    return subprocess.run(args, capture_output=True, text=True, timeout=timeout, check=False)


def copy_checkout():
    """Brings the copy up to date; a file that did not change keeps its time, so little is built."""
    files = sh("git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard").stdout.split("\n")
    wanted = {f for f in files if f and (ROOT / f).is_file()}
    for f in wanted:
        source, target = ROOT / f, COPY / f
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    listed = COPY / "build" / "files.txt"
    if listed.exists():
        for f in set(listed.read_text().split("\n")) - wanted - {""}:
            (COPY / f).unlink(missing_ok=True)
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(sorted(wanted)))


def build(folders):
    """Returns what the compiler says where it fails, else ""."""
    if not (BUILD / "build.ninja").exists():
        made = sh("cmake", "-S", str(COPY), "--preset", "dev", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1",
                  "-DMOECAST_BENCH=OFF")
        if made.returncode != 0:
            return made.stdout + made.stderr
    made = sh("cmake", "--build", str(BUILD), "--target", *[f"{f}_tests" for f in sorted(folders)])
    return made.stdout + made.stderr if made.returncode != 0 else ""


def dead(tests):
    """Names of the tests that fail, None where none runs."""
    folder, names = tests.split(" ", 1)
    try:
        run = sh(str(BUILD / "tests" / f"{folder}_tests"), f"--gtest_filter={names}", "--gtest_brief=0",
                 timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return ["one that does not end"]
    if "[==========] Running 0 tests" in run.stdout:
        return None
    failed = re.findall(r"^\[  FAILED  \] ([\w/]+\.[\w/]+)", run.stdout, re.MULTILINE)
    if run.returncode != 0 and not failed:  # aborted
        failed = re.findall(r"^\[ RUN      \] (\S+)", run.stdout, re.MULTILINE)[-1:] or ["the program"]
    return list(dict.fromkeys(failed))


def places(root):
    """The file of each mutation, and what is wrong with those whose text is not in one place."""
    sources = {p: p.read_text() for folder in SOURCES for p in sorted((root / folder).rglob("*.*")) if p.suffix in (".cc", ".h")}
    files, faults = {}, []
    for m in MUTATIONS:
        found = [p for p, text in sources.items() for _ in range(text.count(m.text))]
        files[m] = found[0].relative_to(root) if found else None
        if len(found) != 1:
            where = ", ".join(str(p.relative_to(root)) for p in found)
            faults.append(f"{m.breaks}: {len(found)} times, not once: {m.text}" + (f" ({where})" if where else ""))
    return files, faults


def killers(m, path):
    """What kills it, or why nothing can be said."""
    whole = path.read_text()
    path.write_text(whole.replace(m.text, m.becomes))
    try:
        fault = build({m.tests.split(" ")[0]})
        if fault:
            return None, "does not compile:\n" + fault[-2000:]
        died = dead(m.tests)
        return (died, "") if died else (None, "survives " + m.tests)
    finally:
        path.write_text(whole)


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    files, faults = places(ROOT)
    chosen = [m for m in MUTATIONS if not words or any(w in f"{m.breaks} {files[m]} {m.tests}" for w in words)]
    if faults:
        sys.exit("\n".join(faults))
    if "--check" in sys.argv:
        print(f"{len(MUTATIONS)} mutations, each text found once")
        return
    copy_checkout()
    fault = build({m.tests.split(" ")[0] for m in chosen})
    if fault:
        sys.exit("the checkout does not build:\n" + fault[-4000:])
    for tests in sorted({m.tests for m in chosen}):
        died = dead(tests)
        if died is None or died:
            sys.exit(f"without a mutation {tests}: " + ("no such test" if died is None else "fails: " + " ".join(died)))
    alive = 0
    for m in chosen:
        start = time.monotonic()
        died, why = killers(m, COPY / files[m])
        took = f"{time.monotonic() - start:4.0f} s"
        if died:
            more = f" and {len(died) - 1} more" if len(died) > 1 else ""
            print(f"killed  {took}  {files[m]}: {m.breaks}: {died[0]}{more}", flush=True)
        else:
            alive += 1
            print(f"ALIVE   {took}  {files[m]}: {m.breaks}: {why}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    sys.exit(1 if alive else 0)


if __name__ == "__main__":
    os.environ.setdefault("GTEST_COLOR", "no")
    main()
