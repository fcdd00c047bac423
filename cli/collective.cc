// moecast collective KIND: one collective over a cluster, or several at once.
#include <memory>

#include "base/error.h"
#include "base/quantity_text.h"
#include "cli/command.h"
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

[[noreturn]] void Fail(const std::string& option, const std::string& value, const std::string& expected,
                       const std::string& hint = "") {
  throw UserError(
      {.file = option, .value = "\"" + Shortened(value) + "\"", .expected = expected, .hint = hint});
}

[[noreturn]] void FailName(const std::string& option, const std::string& value,
                           const std::vector<std::string_view>& valid) {
  Fail(option, value, "one of " + Join(valid), Nearest(value, valid));
}

std::vector<std::string_view> Kinds() {
  std::vector<std::string_view> kinds;
  for (const CollectiveRow& row : CollectiveRows())
    if (kinds.empty() || kinds.back() != row.kind) kinds.push_back(row.kind);
  return kinds;
}

// The row of the algorithm; where none is named, the fastest.
const CollectiveRow& RowOf(const std::string& option, const std::string& kind, const std::string& algorithm,
                           const NamedCollective& c, const Cluster& cluster) {
  if (algorithm.empty()) {
    if (const CollectiveRow* row = FastestCollective(kind, c.group, c.bytes, cluster)) return *row;
    FailName(option, kind, Kinds());
  }
  if (const CollectiveRow* row = FindCollective(kind, algorithm)) return *row;
  std::vector<std::string_view> algorithms;
  for (const CollectiveRow& row : CollectiveRows())
    if (row.kind == kind) algorithms.push_back(row.algorithm);
  if (algorithms.empty()) FailName(option, kind, Kinds());
  FailName("--algorithm", algorithm, algorithms);
}

// `option` names what all words came from, where it is one.
NamedCollective Parse(const std::string& kind, const std::string& algorithm, const std::string& ranks,
                      const std::string& bytes, const Cluster& cluster, const std::string& option = "") {
  const auto named = [&](const char* own) { return option.empty() ? std::string(own) : option; };
  NamedCollective c{.group = ParseRanks(ranks, cluster.gpus, named("--ranks"))};
  if (c.group.size() < 2) Fail(named("--ranks"), ranks, "at least two ranks");
  const auto size = ParseBytes(bytes);
  if (!size || !(*size > Bytes(0)) || *size > kMostBytes)
    Fail(named("--bytes"), bytes, "bytes with a unit such as 64MiB, above 0, at most 1000TB");
  c.bytes = *size;
  c.row = &RowOf(named("moecast collective"), kind, algorithm, c, cluster);
  if (c.group.size() % static_cast<size_t>(c.row->ranks_multiple) != 0)
    Fail(named("--ranks"), ranks,
         "for " + std::string(c.row->kind) + " a multiple of " + std::to_string(c.row->ranks_multiple) +
             " ranks, not " + std::to_string(c.group.size()));
  return c;
}

// "KIND:RANKS:BYTES".
NamedCollective ParseWith(const std::string& text, const Cluster& cluster) {
  const size_t first = text.find(':'),
               second = first == std::string::npos ? first : text.find(':', first + 1);
  if (second == std::string::npos) Fail("--with", text, "KIND:RANKS:BYTES such as all-reduce:0-63:64MiB");
  return Parse(text.substr(0, first), "", text.substr(first + 1, second - first - 1), text.substr(second + 1),
               cluster, "--with");
}

// "LINK@T", or with a rate "LINK@T=RATE".
CapacityChange ParseChange(const char* option, const std::string& text, bool with_rate,
                           const Cluster& cluster) {
  const size_t at = text.rfind('@'),
               equals = with_rate ? text.find('=', std::min(at, text.size())) : text.size();
  if (at == std::string::npos || equals == std::string::npos)
    Fail(option, text,
         with_rate ? "LINK@TIME=RATE such as node0.gpu0.nic-out@1ms=10GB/s"
                   : "LINK@TIME such as node0.gpu0.nic-out@1ms");
  CapacityChange change{.link = LinkByName(cluster, text.substr(0, at), option)};
  const std::string when = text.substr(at + 1, equals - at - 1);
  const auto time = ParseSeconds(when);
  if (!time || !(*time >= Seconds(0) && *time <= kLatest))
    Fail(option, when, "a time with a unit such as 1ms, from 0s to " + PrintSeconds(kLatest));
  change.at = Time::From(*time);
  if (!with_rate) return change;
  const std::string rate_text = text.substr(equals + 1);
  const auto rate = ParseRate(rate_text);
  if (!rate || !(*rate >= BytesPerSecond(0) && *rate <= BytesPerSecond(1e15)))
    Fail(option, rate_text, "a rate such as 10GB/s or 100Gb/s");
  change.capacity = *rate;
  return change;
}

}  // namespace

Action DefineCollective(CLI::App& app, const CommonOptions& common) {
  struct Options {
    std::string kind, cluster, ranks, bytes, level = "fluid", algorithm;
    std::vector<std::string> with, fail, degrade;
  };
  const auto o = std::make_shared<Options>();
  std::string kinds;
  for (const std::string_view kind : Kinds()) {
    kinds += (kinds.empty() ? "" : "; ") + std::string(kind) + ":";
    for (const CollectiveRow& row : CollectiveRows())
      if (row.kind == kind) kinds += " " + std::string(row.algorithm);
  }
  app.add_option("kind", o->kind, "the collective, and its algorithms: " + kinds)->required();
  app.add_option("--cluster", o->cluster, "a built-in cluster or the path of a file")->required();
  app.add_option("--ranks", o->ranks, "its GPUs: 0-7,16,24-31")->required();
  app.add_option("--bytes", o->bytes,
                 "the larger buffer of a rank, as nccl-tests counts: 64MiB (of all-gather what is gathered, "
                 "of all-to-all what a rank sends to all)")
      ->required();
  app.add_option("--level", o->level, "network level: analytic, fluid, simgrid")->capture_default_str();
  app.add_option("--algorithm", o->algorithm, "the fastest on idle links where absent");
  app.add_option("--with", o->with, "another at the same time, KIND:RANKS:BYTES; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--fail", o->fail, "a link fails at a time, LINK@TIME; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--degrade", o->degrade,
                 "a link has a new rate from a time on, LINK@TIME=RATE; may be repeated")
      ->allow_extra_args(false);
  return [o, &common] {
    const Level level = LevelNamed(o->level);
    const Cluster cluster = LoadCluster(o->cluster);
    std::vector<NamedCollective> collectives = {Parse(o->kind, o->algorithm, o->ranks, o->bytes, cluster)};
    for (const std::string& text : o->with) collectives.push_back(ParseWith(text, cluster));
    std::vector<CapacityChange> changes;
    for (const std::string& text : o->fail) changes.push_back(ParseChange("--fail", text, false, cluster));
    for (const std::string& text : o->degrade)
      changes.push_back(ParseChange("--degrade", text, true, cluster));
    const CollectiveReport report =
        ReportCollectives(cluster, collectives, changes, level, StartHelper(level));
    Emit(common, CollectiveJson(cluster, report), CollectiveText(cluster, report));
  };
}

}  // namespace moecast
