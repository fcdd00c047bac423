// moecast collective KIND: one collective over a cluster, or several at once.
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/quantity_text.h"
#include "cli/command.h"
#include "cli/named.h"
#include "cli/rank_list.h"
#include "cli/simgrid_program.h"
#include "scenarios/cluster_loader.h"
#include "sim/network/collective_report.h"
#include "topology/link_names.h"
#include "viz/collective_view.h"

namespace moecast {
namespace {

constexpr Bytes kMostBytes{1e15};
constexpr Seconds kLatest{9e6};  // what Time reaches

[[noreturn]] void Fail(const std::string& option, const std::string& value,
                       const std::string& expected, const std::string& hint = "") {
  throw UserError({.file = option,
                   .value = "\"" + Shortened(value) + "\"",
                   .expected = expected,
                   .hint = hint});
}

// What to run, without its algorithm. `option` names what all words came from, where it is one.
CollectiveCall ParseCall(const std::string& kind, const std::string& ranks,
                         const std::string& bytes, const Cluster& cluster,
                         const std::string& option = "") {
  const auto named = [&](const char* own) { return option.empty() ? std::string(own) : option; };
  CollectiveCall call{.kind = Named<CollectiveKind>(named("moecast collective"), kind),
                      .group = ParseRanks(ranks, cluster.gpus, named("--ranks"))};
  const size_t n = call.group.size();
  if (n < 2) Fail(named("--ranks"), ranks, "at least two ranks");
  if (call.kind == CollectiveKind::kSend && n % 2 != 0)
    Fail(named("--ranks"), ranks,
         "as many receivers as senders, not " + std::to_string(n) + " ranks");
  const auto size = ParseBytes(bytes);
  if (!size || !(*size > Bytes(0)) || *size > kMostBytes)
    Fail(named("--bytes"), bytes, "bytes with a unit such as 64MiB, above 0, at most 1000TB");
  call.bytes = *size;
  return call;
}

// "KIND:RANKS:BYTES".
CollectiveCall ParseWith(const std::string& text, const Cluster& cluster) {
  const size_t first = text.find(':'),
               second = first == std::string::npos ? first : text.find(':', first + 1);
  if (second == std::string::npos)
    Fail("--with", text, "KIND:RANKS:BYTES such as all-reduce:0-63:64MiB");
  return ParseCall(text.substr(0, first), text.substr(first + 1, second - first - 1),
                   text.substr(second + 1), cluster, "--with");
}

int ParseSms(int64_t sms, const Cluster& cluster) {
  if (sms < 1 || sms > cluster.device.sms)
    Fail("--sms", std::to_string(sms),
         "from 1 to the device's " + std::to_string(cluster.device.sms));
  return static_cast<int>(sms);
}

// "DEVICES,NODES,EXPERTS".
TokenSpread ParseSpread(const std::vector<double>& given, const CollectiveCall& call,
                        const Routes& routes) {
  if (call.kind != CollectiveKind::kDispatch && call.kind != CollectiveKind::kCombine)
    Fail("--spread", std::string(NameOf(call.kind)),
         "dispatch or combine: no other collective has tokens");
  if (given.size() != 3)
    Fail("--spread", std::to_string(given.size()) + " numbers",
         "DEVICES,NODES,EXPERTS such as 2.77,1,6");
  const TokenSpread spread{.devices = given[0], .nodes = given[1], .experts = given[2]};
  const auto check = [](const char* what, double x, double low, double high) {
    if (!(x >= low && x <= high))
      Fail("--spread", std::string(what) + " " + ShowNumber(x, 6),
           "from " + ShowNumber(low, 6) + " to " + ShowNumber(high, 6));
  };
  check("devices", spread.devices, 1, static_cast<double>(call.group.size()));
  check("nodes", spread.nodes, 1,
        std::min(spread.devices, static_cast<double>(NodesOfGroup(call.group, routes).nodes)));
  check("experts", spread.experts, spread.devices, 1e4);
  return spread;
}

Time ParseTime(const char* option, const std::string& text) {
  const auto time = ParseSeconds(text);
  if (!time || !(*time >= Seconds(0) && *time <= kLatest))
    Fail(option, text, "a time with a unit such as 1ms, from 0s to " + PrintSeconds(kLatest));
  return Time::From(*time);
}

bool HasTime(const std::string& failure) {
  return failure.find('@') != std::string::npos;
}

// "NAME@TIME" each: a link, or a switch with all its links. One takes from what those before it
// have left.
std::vector<CapacityChange> ParseFailures(const std::vector<std::string>& failures,
                                          Cluster cluster) {
  std::vector<std::pair<Time, std::string>> in_time;
  for (const std::string& text : failures) {
    const size_t at = text.rfind('@');
    in_time.emplace_back(ParseTime("--fail", text.substr(at + 1)), text.substr(0, at));
  }
  std::ranges::stable_sort(in_time, {}, &std::pair<Time, std::string>::first);
  std::vector<CapacityChange> changes;
  std::vector<BytesPerSecond> before = LinkCapacities(cluster);
  for (const auto& [at, name] : in_time) {
    cluster = Without(cluster, std::vector{name});
    std::vector<BytesPerSecond> after = LinkCapacities(cluster);
    for (size_t l = 0; l < after.size(); ++l)
      if (after[l] < before[l]) changes.push_back({at, static_cast<LinkId>(l), after[l]});
    before = std::move(after);
  }
  return changes;
}

// "LINK@TIME=RATE".
CapacityChange ParseDegradation(const std::string& text, const Cluster& cluster) {
  const size_t at = text.rfind('@'), equals = text.find('=', std::min(at, text.size()));
  if (at == std::string::npos || equals == std::string::npos)
    Fail("--degrade", text, "LINK@TIME=RATE such as node0.gpu0.nic-out@1ms=10GB/s");
  const std::string rate_text = text.substr(equals + 1);
  const auto rate = ParseRate(rate_text);
  if (!rate || !(*rate >= BytesPerSecond(0) && *rate <= BytesPerSecond(1e15)))
    Fail("--degrade", rate_text, "a rate such as 10GB/s or 100Gb/s");
  return {.at = ParseTime("--degrade", text.substr(at + 1, equals - at - 1)),
          .link = LinkByName(cluster, text.substr(0, at), "--degrade"),
          .capacity = *rate};
}

}  // namespace

Action DefineCollective(OptionList list, const CommonOptions& common) {
  struct Options {
    std::string kind;
    std::string cluster;
    std::string ranks;
    std::string bytes;
    std::string level = "fluid";
    std::string algorithm = "auto";
    std::vector<std::string> with, fail, degrade;
    std::vector<double> spread;
    std::optional<int64_t> sms;
  };
  const auto o = std::make_shared<Options>();
  std::string kinds;
  for (const auto& kind : EnumNames<CollectiveKind>::kNames) {
    kinds += (kinds.empty() ? "" : "; ") + std::string(kind.name) + ":";
    for (const CollectiveAlgorithm& a : CollectiveAlgorithms())
      if (a.kind == kind.value) kinds += " " + std::string(a.name);
  }
  list.Add("kind", o->kind, "the collective, and its algorithms: " + kinds, {.required = true});
  list.Add("--cluster", o->cluster, "a built-in cluster or the path of a file", {.required = true});
  list.Add("--ranks", o->ranks, "its GPUs: 0-7,16,24-31", {.required = true});
  list.Add("--bytes", o->bytes,
           "the buffer of a rank, 64MiB: of all-gather the gathered result, of reduce-scatter and "
           "all-reduce what a rank puts in, of all-to-all what it sends and keeps, of dispatch and "
           "combine its tokens, each counted once",
           {.required = true});
  list.Add("--level", o->level, "network level: analytic, fluid, simgrid", {.show_default = true});
  list.Add("--algorithm", o->algorithm,
           "auto: the fastest on idle links of those that NCCL, for tokens DeepEP, would run",
           {.show_default = true});
  list.Add("--sms", o->sms, "SMs that its kernels run on; as many as the links want where absent");
  list.Add(
      "--spread", o->spread,
      "of dispatch and combine, DEVICES,NODES,EXPERTS that a token goes to, means; 1,1,1 where "
      "absent (`moecast routing` finds them)",
      {.delimiter = ','});
  list.Add("--with", o->with, "another at the same time, KIND:RANKS:BYTES; may be repeated",
           {.repeated = true});
  list.Add(
      "--fail", o->fail,
      "a link or switch fails at a time, NAME@TIME; without a time it is missing from the start "
      "and routes go around it; may be repeated",
      {.repeated = true});
  list.Add("--degrade", o->degrade,
           "a link has a new rate from a time on, LINK@TIME=RATE; may be repeated",
           {.repeated = true});
  return [o, &common] {
    const Level level = Named<Level>("--level", o->level);
    const auto timed = std::stable_partition(o->fail.begin(), o->fail.end(), std::not_fn(HasTime));
    const std::vector<std::string> failing(timed, o->fail.end());
    o->fail.erase(timed, o->fail.end());
    const Cluster cluster = Without(LoadCluster(o->cluster), o->fail);
    const Routes routes(cluster);
    CollectiveCall call = ParseCall(o->kind, o->ranks, o->bytes, cluster);
    if (o->sms) call.sms = ParseSms(*o->sms, cluster);
    if (!o->spread.empty()) call.spread = ParseSpread(o->spread, call, routes);
    std::vector<NamedCollective> collectives;
    collectives.push_back({call, o->algorithm == "auto"
                                     ? &FastestAlgorithm(call, cluster, routes)
                                     : &FindAlgorithm(call, o->algorithm, routes)});
    for (const std::string& text : o->with) {
      const CollectiveCall other = ParseWith(text, cluster);
      collectives.push_back({other, &FastestAlgorithm(other, cluster, routes)});
    }
    std::vector<CapacityChange> changes = ParseFailures(failing, cluster);
    for (const std::string& text : o->degrade) changes.push_back(ParseDegradation(text, cluster));
    const CollectiveReport report =
        ReportCollectives(cluster, collectives, changes, level, StartHelper(level));
    Emit(common, CollectiveJson(cluster, report), CollectiveText(cluster, report));
  };
}

}  // namespace moecast
