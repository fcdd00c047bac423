#include "sim/network/simgrid_network.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "base/error.h"
#include "sim/network/link_shares.h"
#include "sim/network/simgrid/protocol.h"

namespace moecast {
namespace {

std::string Number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, " %.17g", x);
  return text;
}

template <class Integer>
std::vector<Integer> Integers(std::string_view text) {
  std::vector<Integer> out;
  const char *at = text.data(), *end = at + text.size();
  while (at != end) {
    if (*at == ' ') {
      ++at;
      continue;
    }
    const auto [rest, error] = std::from_chars(at, end, out.emplace_back());
    if (error != std::errc{})
      throw UserError(
          {.file = "moecast-simgrid", .value = Shortened(text), .expected = "whole numbers"});
    at = rest;
  }
  return out;
}

}  // namespace

SimgridNetwork::SimgridNetwork(std::unique_ptr<ChildProcess> helper,
                               std::span<const BytesPerSecond> capacity)
    : helper_(std::move(helper)), links_(capacity.size()) {
  if (const std::string greeting = helper_->ReadLine(); greeting != kSimgridGreeting)
    throw UserError(
        {.file = "moecast-simgrid", .value = Shortened(greeting), .expected = kSimgridGreeting});
  helper_->Write("links");
  for (const BytesPerSecond c : capacity) helper_->Write(Number(c.value));
  helper_->Write("\n");
}

void SimgridNetwork::Start(Time now, std::span<const LinkShare> links, Bytes bytes,
                           int64_t multiplicity, FlowTag tag) {
  MOECAST_CHECK(multiplicity >= 1 && bytes.value >= 0);
  at_once_ += multiplicity;
  if (at_once_ > kMostAtOnce)
    throw UserError(
        {.file = "level simgrid",
         .value = std::to_string(at_once_) + " flows at once",
         .expected = "at most " + std::to_string(kMostAtOnce) + "; level fluid takes more"});
  helper_->Write("start " + std::to_string(now.ps) + Number(bytes.value) + " " +
                 std::to_string(multiplicity));
  std::vector<LinkShare> canonical;
  CanonicalShares(links, links_, canonical);
  for (const LinkShare& s : canonical) {
    MOECAST_CHECK(s.share == std::floor(s.share) && s.share <= 1000);
    for (int i = 0; i < static_cast<int>(s.share); ++i)
      helper_->Write(" " + std::to_string(s.link));
  }
  helper_->Write("\n");
  alive_[started_++] = {tag, multiplicity};
}

// The rest of the line that answers.
std::string SimgridNetwork::Ask(std::string_view question, std::string_view answer) {
  helper_->Write(question);
  std::string line = helper_->ReadLine();
  if (!line.starts_with(answer))
    throw UserError({.file = "moecast-simgrid",
                     .value = Shortened(line),
                     .expected = std::string(answer) + " ..."});
  return line.substr(answer.size());
}

Time SimgridNetwork::Next() {
  const auto answer = Integers<int64_t>(Ask("next\n", "next"));
  return answer.empty() || answer[0] < 0 ? kNever : Time{answer[0]};
}

void SimgridNetwork::Advance(Time to, std::vector<FlowTag>& done) {
  for (const auto id :
       Integers<int64_t>(Ask("advance " + std::to_string(to.ps) + "\n", "advance"))) {
    const auto flow = alive_.find(id);
    if (flow == alive_.end())
      throw UserError({.file = "moecast-simgrid",
                       .value = "the end of flow " + std::to_string(id),
                       .expected = "a flow under way"});
    at_once_ -= flow->second.multiplicity;
    done.push_back(flow->second.tag);
    alive_.erase(flow);
  }
}

void SimgridNetwork::SetCapacity(Time now, LinkId link, BytesPerSecond capacity) {
  MOECAST_CHECK(link >= 0 && static_cast<size_t>(link) < links_ && capacity.value >= 0);
  helper_->Write("capacity " + std::to_string(now.ps) + " " + std::to_string(link) +
                 Number(capacity.value) + "\n");
}

std::vector<LinkId> SimgridNetwork::Blocked() {
  return Integers<LinkId>(Ask("blocked\n", "blocked"));
}

}  // namespace moecast
